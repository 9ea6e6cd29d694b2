"""Finds the resets of a sawtooth: a series that fills and is reset again and again.

Log rotation, compaction and garbage collection cause such resets. A reset takes back what hours of filling have added.
Resets come at their own times, independent of other growth, so the times between past resets predict the next one.

References:
    Cox, D. R. (1962). Renewal theory. Methuen.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatArray

#: A fall is a reset if it is at least this share of the range between P10 and P90 of the series, and at least so many
#: times its usual move in a step: four resets a day take back six hours each. Both, and the spread below, were chosen
#: on simulated fleets that are not among those of `docs/benchmarks.md`.
RESET_SHARE, RESET_MOVES = 0.5, 3.0
#: The age, in steps, of a reset that the newest values have just shown.
SHOWN_AFTER = 1.5
#: A series with fewer resets is no sawtooth.
LEAST_RESETS = 3
#: Standard deviation of the logarithm of the time between two resets, in addition to the variation of the past gaps. A
#: gap is known to half a step, which is a twentieth of the ten or so steps between resets twice a day.
GAP_SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sawtooth:
    """The resets of a series.

    Attributes:
        drops: how far each reset took the series back to its good side, positive, in its unit. Of free space, a reset
            gives some back.
        gaps: steps between consecutive resets; one fewer than `drops`.
        age: steps since the last reset.
    """

    drops: FloatArray
    gaps: FloatArray
    age: float

    def at_present(self, values: FloatArray, level: float, step_fraction: float) -> "Sawtooth":
        """The same sawtooth at the present, which may have seen a newer reset.

        Args:
            values: the past on an even grid.
            level: value now.
            step_fraction: share of a step that has passed since the last of `values`, in [0, 1].
        """
        is_newer = self.age > SHOWN_AFTER and values[-2] - level >= float(np.median(self.drops)) / 2
        return replace(self, age=step_fraction if is_newer else self.age + step_fraction)

    def ahead(self, count: int, horizon_steps: int, rng: np.random.Generator) -> FloatArray:
        """Simulate how far each path falls in each step, with the gaps of the past between resets.

        A series that is reset twice a day and was reset an hour ago can fill for nearly half a day.

        Returns:
            (count, horizon_steps), not negative.
        """
        left = self._gaps(4 * count, rng) - self.age
        left = left[left > 0]
        # A reset that is later than every past gap may come at any time.
        due = rng.choice(left, count) if len(left) else rng.exponential(float(np.median(self.gaps)), count)
        falls = np.zeros((count, horizon_steps))
        # Resets move to the nearest end of a step: before a reset late in a step, the series may still cross.
        while len(rows := np.flatnonzero(due < horizon_steps - 0.5)):
            falls[rows, np.rint(due[rows]).astype(np.intp)] += rng.choice(self.drops, len(rows))
            due[rows] += self._gaps(len(rows), rng)
        return falls

    def _gaps(self, count: int, rng: np.random.Generator) -> FloatArray:
        spread = np.exp(rng.normal(0.0, GAP_SPREAD, count))
        return np.asarray(np.maximum(rng.choice(self.gaps, count) * spread, 1.0))


def find_resets(values: FloatArray) -> Sawtooth | None:
    """Find the resets of a sawtooth: falls within one or two steps that take back most of a climb.

    Args:
        values: the past on an even grid, without NaN. High is bad: mirror a series for which low is bad.
    Returns:
        null if the series is no sawtooth.
    """
    if len(values) < 8:
        return None
    # A reset inside a step spreads over two steps because values are averages.
    moves = values[2:] - values[:-2]
    steps = np.diff(values)
    low, high = np.percentile(values, [10, 90])
    least = max(RESET_SHARE * float(high - low), RESET_MOVES * float(np.median(np.abs(steps))))
    if least <= 0:
        return None
    falls = _peaks(-moves, least)
    # A sawtooth climbs slowly between resets. A series that rises as fast as it falls is only noisy.
    if len(falls) < LEAST_RESETS or len(_peaks(moves, least)) > len(falls) // 2:
        return None
    return Sawtooth(
        # The series went on filling during these two steps.
        drops=-moves[falls] + 2 * max(float(np.median(steps)), 0.0),
        gaps=np.diff(falls).astype(np.float64),
        # A fall is found over two steps and lies in the middle of them.
        age=len(moves) - 1 - float(falls[-1]) + SHOWN_AFTER,
    )


def _peaks(moves: FloatArray, least: float) -> NDArray[np.intp]:
    """Positions of the moves that are at least `least` and not smaller than their neighbours."""
    beside = np.maximum(np.append(moves[1:], -np.inf), np.insert(moves[:-1], 0, -np.inf))
    return np.flatnonzero((moves >= least) & (moves >= beside))
