"""Sawtooths: what fills and is reset again and again, such as by log rotation, compaction or garbage collection.

A reset takes back what a fill has gained, for hours. When the next one is due says the last one: they come at their
own times, whatever else fills.

References:
    Cox, D. R. (1962). Renewal theory. Methuen.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.forecast.protocols import FloatArray

#: A fall is a reset where it takes back this share of the range between P10 and P90 of the series, and so many times
#: what it usually moves in a step: four resets a day take back six hours each. Both, and the spread below, were chosen
#: on simulated fleets that are not among those of `docs/benchmarks.md`.
RESET_SHARE, RESET_MOVES = 0.5, 3.0
#: The age, in steps, of a reset that the newest values have just shown.
SHOWN_AFTER = 1.5
#: How many resets make a habit.
HABIT = 3
#: ChunkPool of the logarithm of the time between two resets, beside that of the gaps that were seen: a gap is known to
#: half a step, which is a twentieth of the ten or so that there are between resets twice a day.
GAP_SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sawtooth:
    """The resets of a series.

    Attributes:
        drops: how far each reset took it down, positive.
        gaps: steps between two resets, one fewer.
        age: steps since the last.
    """

    drops: FloatArray
    gaps: FloatArray
    age: float

    def at_present(self, values: FloatArray, level: float, part: float) -> "Sawtooth":
        """The same, `part` of a step after the last of `values`, in which a newer reset may not show yet."""
        is_newer = self.age > SHOWN_AFTER and values[-2] - level >= float(np.median(self.drops)) / 2
        return replace(self, age=part if is_newer else self.age + part)

    def ahead(self, count: int, horizon_steps: int, rng: np.random.Generator) -> FloatArray:
        """How far each course falls in each step: resets come as long after one another as they did.

        What is reset twice a day, and was an hour ago, has half a day to fill.

        Returns:
            (count, horizon_steps), not negative.
        """
        left = self._gaps(4 * count, rng) - self.age
        left = left[left > 0]
        # What is overdue by every gap that was seen may come at any time.
        due = rng.choice(left, count) if len(left) else rng.exponential(float(np.median(self.gaps)), count)
        falls = np.zeros((count, horizon_steps))
        # To the nearest end of a step: what is reset late in a step may cross before.
        while len(rows := np.flatnonzero(due < horizon_steps - 0.5)):
            falls[rows, np.rint(due[rows]).astype(np.intp)] += rng.choice(self.drops, len(rows))
            due[rows] += self._gaps(len(rows), rng)
        return falls

    def _gaps(self, count: int, rng: np.random.Generator) -> FloatArray:
        spread = np.exp(rng.normal(0.0, GAP_SPREAD, count))
        return np.asarray(np.maximum(rng.choice(self.gaps, count) * spread, 1.0))


def find_resets(values: FloatArray) -> Sawtooth | None:
    """The resets of a sawtooth: falls in a step or two that take back most of a climb.

    Args:
        values: the past on an even grid, without NaN.
    Returns:
        null where the series has no such habit.
    """
    if len(values) < 8:
        return None
    # A reset inside a step spreads over two of them once values are averaged.
    moves = values[2:] - values[:-2]
    steps = np.diff(values)
    low, high = np.percentile(values, [10, 90])
    least = max(RESET_SHARE * float(high - low), RESET_MOVES * float(np.median(np.abs(steps))))
    if least <= 0:
        return None
    falls = _peaks(-moves, least)
    # Between resets a sawtooth climbs; a series that rises as it falls is only noisy.
    if len(falls) < HABIT or len(_peaks(moves, least)) > len(falls) // 2:
        return None
    return Sawtooth(
        # It went on filling meanwhile.
        drops=-moves[falls] + 2 * max(float(np.median(steps)), 0.0),
        gaps=np.diff(falls).astype(np.float64),
        # A fall is found over two steps, and lies in the middle of them.
        age=len(moves) - 1 - float(falls[-1]) + SHOWN_AFTER,
    )


def _peaks(moves: FloatArray, least: float) -> NDArray[np.intp]:
    """Where moves of at least that size are largest among their neighbours."""
    beside = np.maximum(np.append(moves[1:], -np.inf), np.insert(moves[:-1], 0, -np.inf))
    return np.flatnonzero((moves >= least) & (moves >= beside))
