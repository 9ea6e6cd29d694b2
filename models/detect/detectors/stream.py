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
from typing import ClassVar, NamedTuple

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
# that a rank is known to within 7 % of the size of a number. All kernels are in this file, because Numba caches a
# compiled function until its own file changes.
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


class Memory(NamedTuple):
    """What was learned of one metric; a run changes these arrays.

    Attributes:
        state: scalars, shape (19,).
        daily: value and count by slot of the day, shape (2, slots).
        weekly: difference from `daily` and count by hour of the week, shape (2, 168).
        hourly: spread and count by hour of the day, shape (2, 24).
        counts: how often each view was how large, see `empty_counts`.
    """

    state: FloatArray
    daily: FloatArray
    weekly: FloatArray
    hourly: FloatArray
    counts: FloatArray

    def copy(self) -> "Memory":
        return Memory(*(array.copy() for array in self))


class _Prediction(NamedTuple):
    """What the experts predict for one value, and how far values usually are from it."""

    last: float
    day: float
    week: float
    expected: float
    season: float
    spread: float
    dead_band: float


@numba.njit(cache=True, nogil=True)
def _dead_band(state: FloatArray) -> float:
    """A change of a series that stands still must be larger than this to be one; 0 for a series that moves."""
    if state[_SEEN] < _WARM or state[_MOVES] >= _STILL_MOVES:
        return 0.0
    low, high = state[_LOW], state[_HIGH]
    at_zero = low <= 0.0 <= high and max(abs(low), abs(high)) <= ZERO_SPREAD
    return float(ZERO_SPREAD if at_zero else STILL_SHARE * abs(state[_LAST]))


@numba.njit(cache=True, nogil=True)
def _least_range(state: FloatArray, dead_band: float) -> float:
    """Differences below this are rounding, or too small for a series that stands still."""
    size = max(abs(state[_LOW]), abs(state[_HIGH]))
    return float(max(ROUNDING * size, dead_band, 1e-150))


@numba.njit(cache=True, nogil=True)
def _predict(memory: Memory, slot: int, week_slot: int, hour: int, step_s: float) -> _Prediction:
    """Combine the three experts, weighted by the inverse square of their mean absolute errors."""
    state, daily, weekly, hourly, _ = memory
    last = state[_FAST]
    day = daily[0, slot] + state[_LEVEL] if daily[1, slot] > 0 else last
    week = day + weekly[0, week_slot] if weekly[1, week_slot] > 0 else day
    least = max(min(state[_LOSS], state[_LOSS + 1], state[_LOSS + 2]), 1e-150)
    w0 = (least / max(state[_LOSS], least)) ** 2
    w1 = (least / max(state[_LOSS + 1], least)) ** 2
    w2 = (least / max(state[_LOSS + 2], least)) ** 2
    expected = (w0 * last + w1 * day + w2 * week) / (w0 + w1 + w2)
    season = (w1 * day + w2 * week) / (w1 + w2)
    dead_band = _dead_band(state)
    spread = max(state[_SCALE], 1e-9 * (state[_HIGH] - state[_LOW]), _least_range(state, dead_band))
    if hourly[1, hour] > 3600.0 / step_s:
        spread = max(0.5 * spread + 0.5 * hourly[0, hour], 0.2 * spread)
    return _Prediction(last, day, week, expected, season, spread, dead_band)


@numba.njit(cache=True, nogil=True)
def _views(state: FloatArray, x: float, predicted: _Prediction, views: FloatArray) -> None:
    """Write the views of one value, shape (9,), the range last; moves the averages of the residual."""
    spread, dead_band = predicted.spread, predicted.dead_band
    z = _beyond(x - predicted.expected, dead_band) / spread
    clipped = min(max(z, -_CLIP), _CLIP)
    for k, weight in enumerate(AVERAGES):
        state[_AVG + k] += weight * (clipped - state[_AVG + k])
    state[_VAR] += 0.06 * (abs(clipped) - state[_VAR])
    seasonal = _beyond(x - predicted.season, dead_band) / spread
    state[_SEASONAL] += 0.3 * (min(max(seasonal, -20.0), 20.0) - state[_SEASONAL])
    views[0] = abs(z)
    for k in range(1, 4):
        views[k] = abs(state[_AVG + k])
    views[4], views[5], views[6] = abs(seasonal), abs(state[_SEASONAL]), state[_VAR]
    views[7] = abs(_beyond(x - state[_LAST], dead_band)) / spread
    low, high = state[_LOW], state[_HIGH]
    range_so_far = max(high - low, _least_range(state, dead_band))
    views[RANGE] = max(0.0, x - high - dead_band, low - x - dead_band) / range_so_far


@numba.njit(cache=True, nogil=True)
def _evidence(counts: FloatArray, views: FloatArray) -> float:
    """Evidence of all views, log10: the mean of those of the residual times that of the range."""
    mean = 0.0
    for k in range(VIEWS):
        mean += 10.0 ** min(surprise(counts, k, views[k]), 30.0) / VIEWS
    return float(np.log10(mean) + surprise(counts, RANGE, views[RANGE]))


@numba.njit(cache=True, nogil=True)
def _learn_spread(memory: Memory, x: float, predicted: _Prediction, hour: int) -> None:
    """Learn how far values are from what each expert predicts."""
    state, _, _, hourly, _ = memory
    error = x - predicted.expected
    seen = state[_SEEN]
    slowly = max(1.0 / seen, 1.0 / _MEMORY)
    state[_RAW] += slowly * (abs(error) - state[_RAW])
    # A tenth of the unclipped error lets a spread grow that was zero.
    limit = 6.0 * state[_SCALE] + 0.1 * state[_RAW] if seen > _WARM else np.inf
    state[_SCALE] += slowly * (min(abs(error), limit) - state[_SCALE])
    hourly[1, hour] += 1.0
    hourly[0, hour] += max(1.0 / hourly[1, hour], 4.0 / _MEMORY) * (min(abs(error), limit) - hourly[0, hour])
    for k, guess in enumerate((predicted.last, predicted.day, predicted.week)):
        loss = state[_LOSS + k] + slowly * (min(abs(x - guess), limit) - state[_LOSS + k])
        state[_LOSS + k] = max(loss, 1e-150)


@numba.njit(cache=True, nogil=True)
def _learn_level(memory: Memory, x: float, slot: int, week_slot: int, step_s: float) -> None:
    """Learn the level, the season of the day and of the week, and the range."""
    state, daily, weekly, _, _ = memory
    seen, per_day = state[_SEEN], max(86_400.0 / step_s, 1.0)
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
    state[_MOVES] += max(1.0 / seen, 1.0 / _MEMORY) * (moved - state[_MOVES])
    state[_LOW], state[_HIGH], state[_LAST] = min(state[_LOW], x), max(state[_HIGH], x), x


@numba.njit(cache=True, nogil=True)
def _run(memory: Memory, times_s: IntArray, values: FloatArray, step_s: float) -> FloatArray:
    """Score and learn values in their order; changes the memory. Columns: evidence, surprise, expected, spread."""
    state, counts = memory.state, memory.counts
    slots = memory.daily.shape[1]
    out = np.full((values.size, 4), np.nan)
    views = np.empty(VIEWS + 1)
    for i in range(values.size):
        if np.isnan(values[i]):
            continue
        x = min(max(values[i], -LIMIT), LIMIT)
        t = times_s[i] + MONDAY_OFFSET_S
        hour = int(t % DAY_S // 3600)
        slot = int(t % DAY_S * slots // DAY_S)
        week_slot = int(t % WEEK_S // 3600)
        if state[_SEEN] == 0:
            state[_FAST] = state[_LEVEL] = state[_SLOW] = state[_LOW] = state[_HIGH] = state[_LAST] = x
        predicted = _predict(memory, slot, week_slot, hour, step_s)
        _views(state, x, predicted, views)
        evidence = _evidence(counts, views)
        out[i, EVIDENCE] = evidence
        out[i, SURPRISE] = surprise(counts, TOGETHER, max(evidence, 0.0))
        out[i, EXPECTED], out[i, SPREAD] = predicted.expected, predicted.spread
        # From here on the value is learned. The first residuals are not counted: they have no spread to compare with,
        # and would be the largest for ever.
        if state[_SEEN] >= _WARM:
            for k in range(VIEWS + 1):
                count(counts, k, views[k], _VIEWS_COUNTED)
            count(counts, TOGETHER, max(evidence, 0.0), _TOGETHER_COUNTED)
        state[_SEEN] += 1.0
        _learn_spread(memory, x, predicted, hour)
        _learn_level(memory, x, slot, week_slot, step_s)
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
    """A metric so far.

    Attributes:
        memory: what was learned of it.
        next_s: epoch second of the next value; step_s: seconds between values.
    """

    memory: Memory
    next_s: int
    step_s: int

    def run(self, times_s: IntArray, values: FloatArray) -> tuple[FloatArray, "FittedStream"]:
        """Score and learn values at given times, rising.

        Returns:
            Float64, shape (n, 4): evidence (log10), surprise (-log10 of its p-value), the expected value, and the usual
            distance from it. The detector after these values.
        """
        memory = self.memory.copy()
        out = _run(memory, times_s, values, float(self.step_s))
        next_s = int(times_s[-1]) + self.step_s if times_s.size else self.next_s
        return out, FittedStream(memory, next_s, self.step_s)

    def score_at(self, times_s: IntArray, values: FloatArray) -> FloatArray:
        """See `models.detect.protocols.FittedTimedDetector.score_at`."""
        return np.asarray(self.run(times_s, values)[0][:, EVIDENCE])

    def _times_s(self, n: int) -> IntArray:
        return self.next_s + self.step_s * np.arange(n, dtype=np.int64)

    def score(self, values: FloatArray) -> FloatArray:
        """Evidence that each value is unusual, log10, at least about -1; each is scored before it is learned."""
        return self.score_at(self._times_s(values.size), values)

    def update(self, values: FloatArray) -> "FittedStream":
        return self.run(self._times_s(values.size), values)[1]

    def to_arrays(self) -> Arrays:
        clock: NDArray[np.int64] = np.array([self.next_s, self.step_s])
        return {**self.memory._asdict(), "clock": clock}


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
        memory = Memory(
            state=np.zeros(_SCALARS),
            daily=np.zeros((2, slots)),
            weekly=np.zeros((2, HOURS_A_WEEK)),
            hourly=np.zeros((2, 24)),
            counts=empty_counts(TOGETHER + 1),
        )
        return FittedStream(memory, self.start_s, self.step_s)

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
        learned = {name: arrays[name] for name in Memory._fields}
        return FittedStream(Memory(**learned | {"state": state}), next_s, step_s)
