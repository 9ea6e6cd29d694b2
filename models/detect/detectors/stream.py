"""The default for one metric: several simple views of each value, each turned into evidence and then combined.

Three experts predict each value: the last values, the time of day, and the time of week. Their weights follow from
their past errors. There are eight views of the residual, in units of the spread of the hour: alone, averaged over about
3, 9, 30 and 100 values, against the season only, its spread, and its step. One more view is how far the value leaves
the range so far. The rank of each view among its own past is a p-value, and 1/p is evidence (an e-value up to a
constant). Evidence of the eight views is averaged, which is valid however they depend; evidence of the range multiplies
it.

Each value is scored before it is learned, in constant memory. Levels follow the values, so that a lasting shift becomes
normal.

References:
    Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World (conformal p-values).
    Vovk and Wang (2021), E-values: calibration, combination and applications, Annals of Statistics 49.
    Herbster and Warmuth (1998), Tracking the best expert, Machine Learning 32 (weighing experts by their loss).
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatArray, IntArray
from core.durations import DAY_S, WEEK_S
from models.detect.protocols import Arrays, Reads, require_points
from models.series.grid import MONDAY_OFFSET_S
from models.series.magnitude import LIMIT
from models.series.robust import ROUNDING, STILL_SHARE, ZERO_SPREAD

#: Weights of a new residual in the averages, which remember about 3, 9, 30 and 100 values.
AVERAGES = (0.5, 0.2, 0.06, 0.02)
#: Views of the residual whose evidence is averaged: alone, three averages, the season, the spread, the step.
VIEWS = 8
RANGE = VIEWS
TOGETHER = VIEWS + 1
#: Number of steps that the spread and the losses of the experts remember.
_MEMORY = 500.0
#: In averages and spreads a residual counts as at most so many spreads, because one spike is not a shift.
_CLIP = 6.0
_WARM = 20
HOURS_A_WEEK = 168
#: Views are ranked among many values, because rare ranks need them. P-values are ranked among the last thousands,
#: because evidence is strong in the first days, when little is known.
_VIEWS_COUNTED, _TOGETHER_COUNTED = 20_000.0, 3_000.0
#: The columns of the output.
EVIDENCE, SURPRISE, EXPECTED, SPREAD = 0, 1, 2, 3

_FAST, _LEVEL, _SLOW, _SCALE, _RAW, _LOSS, _AVG, _VAR, _SEASONAL, _LOW, _HIGH, _LAST, _SEEN, _MOVES = (
    0, 1, 2, 3, 4, 5, 8, 12, 13, 14, 15, 16, 17, 18
)  # fmt: skip
_SCALARS = 19
#: A series stands still if so few of its values differ from the one before by more than rounding.
_STILL_MOVES = 0.05


# How rare a number is among all numbers before it: counts in logarithmic bins, ten per octave from 2**-12 to 2**20, so
# that a rank is known to within 7 % of the size of a number. These functions are in this file because Numba caches a
# compiled function until its own file changes; it does not notice a changed function in another file.
BINS = 320
BLOCK = 16
_BINS_PER_OCTAVE = 10.0
_LOWEST_OCTAVE, _HIGHEST_OCTAVE = 12.0, 20.0
#: Beyond the largest number so far, the share of larger numbers is taken to fall like x**-2, by at most 3 decades. The
#: residuals of metrics have such heavy tails. So one record does not hide the next.
_TAIL_POWER = 2.0
_TAIL_MOST = 3.0


def empty_counts(rows: int) -> FloatArray:
    """Counts of `rows` kinds of numbers: bins, then sums of blocks of bins, then the number and the largest."""
    return np.zeros((rows, BINS + BINS // BLOCK + 2))


@numba.njit(cache=True, nogil=True)
def bin_of(number: float) -> int:
    """Bin of a number >= 0, in [0, BINS - 1] for every float64: infinite is in the last bin, NaN in the first."""
    if not number > 2.0**-_LOWEST_OCTAVE:
        return 0
    if number >= 2.0**_HIGHEST_OCTAVE:
        return BINS - 1
    return min(int((np.log2(number) + _LOWEST_OCTAVE) * _BINS_PER_OCTAVE) + 1, BINS - 1)


@numba.njit(cache=True, nogil=True)
def surprise(counts: FloatArray, row: int, number: float) -> float:
    """-log10 of the p-value of a number >= 0 among those counted, >= 0; numbers in the same bin count half."""
    at = bin_of(number)
    block = at // BLOCK
    above = 0.5 * counts[row, at]
    for k in range(at + 1, (block + 1) * BLOCK):
        above += counts[row, k]
    for k in range(block + 1, BINS // BLOCK):
        above += counts[row, BINS + k]
    total, largest = counts[row, -2], counts[row, -1]
    rare = -np.log10((above + 0.5) / (total + 1.0))
    if number > largest > 0.0:
        rare += min(_TAIL_MOST, _TAIL_POWER * np.log10(number / largest))
    return float(max(rare, 0.0))


@numba.njit(cache=True, nogil=True)
def count(counts: FloatArray, row: int, number: float, most: float) -> None:
    """Count a number >= 0. At `most` numbers all counts are halved, so that old numbers fade."""
    at = bin_of(number)
    counts[row, at] += 1.0
    counts[row, BINS + at // BLOCK] += 1.0
    counts[row, -2] += 1.0
    if number > counts[row, -1]:
        counts[row, -1] = number
    if counts[row, -2] >= most:
        counts[row, :-1] *= 0.5


@numba.njit(cache=True, nogil=True)
def _beyond(distance: float, dead_band: float) -> float:
    """A signed distance, shortened by the dead band; 0 inside it."""
    return max(distance - dead_band, 0.0) + min(distance + dead_band, 0.0)


@numba.njit(cache=True, nogil=True)
def _run(
    state: FloatArray, daily: FloatArray, weekly: FloatArray, hourly: FloatArray, counts: FloatArray,
    times_s: IntArray, values: FloatArray, step_s: float,
) -> FloatArray:  # fmt: skip
    """Score and learn values in their order; changes the state. Columns: evidence, surprise, expected, spread."""
    n = values.size
    out = np.full((n, 4), np.nan)
    slots = daily.shape[1]
    per_day = max(86_400.0 / step_s, 1.0)
    for i in range(n):
        if np.isnan(values[i]):
            continue
        x = min(max(values[i], -LIMIT), LIMIT)
        t = times_s[i] + MONDAY_OFFSET_S
        hour = int(t % DAY_S // 3600)
        slot = int(t % DAY_S * slots // DAY_S)
        week_slot = int(t % WEEK_S // 3600)
        seen = state[_SEEN]
        if seen == 0:
            state[_FAST] = state[_LEVEL] = state[_SLOW] = state[_LOW] = state[_HIGH] = state[_LAST] = x
        # Three experts, weighted by the inverse square of their mean absolute errors.
        last = state[_FAST]
        day = daily[0, slot] + state[_LEVEL] if daily[1, slot] > 0 else last
        week = day + weekly[0, week_slot] if weekly[1, week_slot] > 0 else day
        least = max(min(state[_LOSS], state[_LOSS + 1], state[_LOSS + 2]), 1e-150)
        w0 = (least / max(state[_LOSS], least)) ** 2
        w1 = (least / max(state[_LOSS + 1], least)) ** 2
        w2 = (least / max(state[_LOSS + 2], least)) ** 2
        expected = (w0 * last + w1 * day + w2 * week) / (w0 + w1 + w2)
        season = (w1 * day + w2 * week) / (w1 + w2)
        error = x - expected
        low, high = state[_LOW], state[_HIGH]
        size = max(abs(low), abs(high))
        # A change of a series that stands still must be larger than this to be one.
        dead_band = 0.0
        if seen >= _WARM and state[_MOVES] < _STILL_MOVES:
            at_zero = low <= 0.0 <= high and size <= ZERO_SPREAD
            dead_band = ZERO_SPREAD if at_zero else STILL_SHARE * abs(state[_LAST])
        spread = max(state[_SCALE], 1e-9 * (high - low), ROUNDING * size, dead_band, 1e-150)
        if hourly[1, hour] > 3600.0 / step_s:
            spread = max(0.5 * spread + 0.5 * hourly[0, hour], 0.2 * spread)
        z = _beyond(error, dead_band) / spread
        clipped = min(max(z, -_CLIP), _CLIP)
        state[_AVG] += 0.5 * (clipped - state[_AVG])
        state[_AVG + 1] += 0.2 * (clipped - state[_AVG + 1])
        state[_AVG + 2] += 0.06 * (clipped - state[_AVG + 2])
        state[_AVG + 3] += 0.02 * (clipped - state[_AVG + 3])
        state[_VAR] += 0.06 * (abs(clipped) - state[_VAR])
        seasonal = _beyond(x - season, dead_band) / spread
        state[_SEASONAL] += 0.3 * (min(max(seasonal, -20.0), 20.0) - state[_SEASONAL])
        range_so_far = max(high - low, ROUNDING * size, dead_band, 1e-150)
        beyond = max(0.0, x - high - dead_band, low - x - dead_band) / range_so_far
        views = (
            abs(z), abs(state[_AVG + 1]), abs(state[_AVG + 2]), abs(state[_AVG + 3]), abs(seasonal),
            abs(state[_SEASONAL]), state[_VAR], abs(_beyond(x - state[_LAST], dead_band)) / spread,
        )  # fmt: skip
        mean_evidence = 0.0
        for k in range(VIEWS):
            mean_evidence += 10.0 ** min(surprise(counts, k, views[k]), 30.0) / VIEWS
        evidence = np.log10(mean_evidence) + surprise(counts, RANGE, beyond)
        out[i, 0] = evidence
        out[i, 1] = surprise(counts, TOGETHER, max(evidence, 0.0))
        out[i, 2] = expected
        out[i, 3] = spread
        # From here on the value is learned.
        if (
            seen >= _WARM
        ):  # the first residuals have no spread to compare with, and would be the largest for ever
            for k in range(VIEWS):
                count(counts, k, views[k], _VIEWS_COUNTED)
            count(counts, RANGE, beyond, _VIEWS_COUNTED)
            count(counts, TOGETHER, max(evidence, 0.0), _TOGETHER_COUNTED)
        seen += 1.0
        state[_SEEN] = seen
        slowly = max(1.0 / seen, 1.0 / _MEMORY)
        state[_RAW] += slowly * (abs(error) - state[_RAW])
        # A tenth of the unclipped error lets a spread grow that was zero.
        limit = 6.0 * state[_SCALE] + 0.1 * state[_RAW] if seen > _WARM else np.inf
        state[_SCALE] += slowly * (min(abs(error), limit) - state[_SCALE])
        hourly[1, hour] += 1.0
        hourly[0, hour] += max(1.0 / hourly[1, hour], 4.0 / _MEMORY) * (
            min(abs(error), limit) - hourly[0, hour]
        )
        for k, guess in enumerate((last, day, week)):
            loss = state[_LOSS + k] + slowly * (min(abs(x - guess), limit) - state[_LOSS + k])
            state[_LOSS + k] = max(loss, 1e-150)
        state[_FAST] += 0.5 * (x - state[_FAST])
        own = daily[0, slot] if daily[1, slot] > 0 else 0.0
        state[_LEVEL] += max(1.0 / seen, 1.0 / per_day) * (x - own - state[_LEVEL])
        state[_SLOW] += max(1.0 / seen, 0.3 / per_day) * (x - state[_SLOW])
        gap = x - state[_SLOW]
        daily[1, slot] += 1.0
        daily[0, slot] += max(1.0 / daily[1, slot], 0.15) * (gap - daily[0, slot])
        weekly[1, week_slot] += 1.0
        faster = max(1.0 / weekly[1, week_slot], 0.3 * step_s / 3600.0)
        weekly[0, week_slot] += faster * (gap - daily[0, slot] - weekly[0, week_slot])
        moved = 1.0 if abs(x - state[_LAST]) > ROUNDING * max(abs(x), abs(state[_LAST])) else 0.0
        state[_MOVES] += slowly * (moved - state[_MOVES])
        state[_LOW], state[_HIGH], state[_LAST] = min(low, x), max(high, x), x
    return out


@numba.njit(cache=True, nogil=True)
def once(evidence: FloatArray, heard: float, floor: float, forget: float) -> tuple[FloatArray, float]:
    """One alarm for one incident: evidence that is no stronger than the newest strong evidence is held near `floor`.

    Args:
        heard: the strongest evidence so far, as the call before returned it, 0 at first; it falls by `forget` per step.
    """
    out = np.empty_like(evidence)
    for i in range(evidence.size):
        heard = max(heard - forget, 0.0)
        new = evidence[i]
        if np.isnan(new):
            out[i] = np.nan
            continue
        out[i] = new if new > heard or new <= floor else floor + 0.02 * (new - floor)
        heard = max(heard, new)
    return out, heard


@dataclass(frozen=True, slots=True, eq=False)
class FittedStream:
    """The learned state of one metric.

    Attributes:
        state: scalars, shape (19,).
        daily: value and count by slot of the day, shape (2, slots).
        weekly: difference from `daily` and count by hour of the week, shape (2, 168).
        hourly: spread and count by hour of the day, shape (2, 24).
        counts: how often each view was how large, see `empty_counts`.
        next_s: epoch second of the next value; step_s: seconds between values.
    """

    state: FloatArray
    daily: FloatArray
    weekly: FloatArray
    hourly: FloatArray
    counts: FloatArray
    next_s: int
    step_s: int

    def run(self, times_s: IntArray, values: FloatArray) -> tuple[FloatArray, "FittedStream"]:
        """Score and learn values at given times, rising.

        Returns:
            Float64, shape (n, 4): evidence (log10), surprise (-log10 of its p-value), the expected value, and the usual
            distance from it. The detector after these values.
        """
        after = FittedStream(
            self.state.copy(), self.daily.copy(), self.weekly.copy(), self.hourly.copy(), self.counts.copy(),
            int(times_s[-1]) + self.step_s if times_s.size else self.next_s, self.step_s,
        )  # fmt: skip
        out = _run(
            after.state,
            after.daily,
            after.weekly,
            after.hourly,
            after.counts,
            times_s,
            values,
            float(self.step_s),
        )
        return out, after

    def score_at(self, times_s: IntArray, values: FloatArray) -> FloatArray:
        """See `models.detect.protocols.FittedTimedDetector.score_at`."""
        result: FloatArray = self.run(times_s, values)[0][:, EVIDENCE]
        return result

    def _times_s(self, n: int) -> IntArray:
        return self.next_s + self.step_s * np.arange(n, dtype=np.int64)

    def score(self, values: FloatArray) -> FloatArray:
        """Evidence that each value is unusual, log10, at least about -1; each is scored before it is learned."""
        result: FloatArray = self.run(self._times_s(values.size), values)[0][:, EVIDENCE]
        return result

    def update(self, values: FloatArray) -> "FittedStream":
        return self.run(self._times_s(values.size), values)[1]

    def to_arrays(self) -> Arrays:
        clock: NDArray[np.int64] = np.array([self.next_s, self.step_s])
        return {
            "state": self.state, "daily": self.daily, "weekly": self.weekly, "hourly": self.hourly,
            "counts": self.counts, "clock": clock,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """The default detector of one metric. Start and step define the time of day and week of each value."""

    step_s: int = 300
    start_s: int = 0
    name: ClassVar[str] = "stream"
    min_points: ClassVar[int] = 12
    reads: ClassVar[Reads] = Reads.VALUES
    #: Two kinds of evidence are multiplied and may count the same thing twice, such as a new record. However they
    #: depend, the square root of the product is evidence (Cauchy-Schwarz). Beyond the highest score, no more is
    #: claimed.
    max_tail_slope: ClassVar[float] = 0.5

    def fresh(self) -> FittedStream:
        """A detector without history: the first values get low scores and change its state most."""
        slots = max(1, min(288, DAY_S // self.step_s))
        return FittedStream(
            np.zeros(_SCALARS), np.zeros((2, slots)), np.zeros((2, HOURS_A_WEEK)), np.zeros((2, 24)),
            empty_counts(TOGETHER + 1), self.start_s, self.step_s,
        )  # fmt: skip

    def fit(self, values: FloatArray) -> FittedStream:
        """See `models.detect.protocols.Detector.fit`."""
        require_points(values, self.min_points, self.name)
        return self.fresh().update(values)

    def learn(self, times_s: IntArray, values: FloatArray, step_s: int) -> tuple[FittedStream, FloatArray]:
        """See `models.detect.protocols.TimedDetector.learn`; `start_s` and `step_s` of this object are not used."""
        out, fitted = Stream(step_s=step_s, start_s=int(times_s[0])).fresh().run(times_s, values)
        return fitted, out[:, EVIDENCE]

    def from_arrays(self, arrays: Arrays) -> FittedStream:
        next_s, step_s = (int(value) for value in arrays["clock"])
        # Before `_MOVES` was kept, every series counted as one that moves.
        state = np.pad(arrays["state"], (0, _SCALARS - arrays["state"].size), constant_values=1.0)
        return FittedStream(
            state,
            arrays["daily"],
            arrays["weekly"],
            arrays["hourly"],
            arrays["counts"],
            next_s,
            step_s,
        )
