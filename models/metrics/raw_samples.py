"""Raw samples as Prometheus keeps them, and what PromQL selects of them: values at some times, and rates.

Values and rates are those of Prometheus 2, operation by operation, so that a golden signal of pushed metrics equals the
one that a Prometheus computes.

References:
    promql/engine.go (vectorSelectorSingle, matrixIterSlice) and promql/functions.go (extrapolatedRate) of Prometheus
    2.42: https://github.com/prometheus/prometheus/tree/v2.42.0/promql
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from models.metrics.deltas import DELTA_LABEL, Deltas, is_mark

NAME = "__name__"
#: So old a value may be at most, in milliseconds (`--query.lookback-delta` of Prometheus).
LOOKBACK_MS = 300_000
#: In a longer window of rates, most times have no value that is young enough to tell that a series goes on.
MAX_DENSE_WINDOW_S = 1_200
#: A NaN with these bits marks the end of a series (model/value/value.go); the second is the same after an operation.
_STALE = np.array([0x7FF0000000000002, 0x7FF8000000000002], dtype=np.uint64)
#: Above the milliseconds of any span: 139 years.
_SPAN_BITS = 42


@dataclass(frozen=True, slots=True)
class Selected:
    """Values of some series at some times.

    Attributes:
        values: (series, times).
        present: where there is a value; it may be NaN.
    """

    values: FloatArray
    present: BoolArray


class RawSamples:
    """The samples of one span of time, of all metrics.

    Args:
        labels: of each series, with its name; no two are equal.
        rows: which series each sample is of.
        times_ms, values: in any order. Of two samples of one series and time the first one counts.
    """

    def __init__(
        self, labels: Sequence[Mapping[str, str]], rows: IntArray, times_ms: IntArray, values: FloatArray
    ) -> None:
        by_labels = sorted(range(len(labels)), key=lambda row: sorted(labels[row].items()))
        #: In the order in which Prometheus adds them up.
        self.labels = [labels[row] for row in by_labels]
        place = np.empty(len(labels), dtype=np.int64)
        place[by_labels] = np.arange(len(labels))
        self._start_ms = int(times_ms.min()) if len(times_ms) else 0
        keys: IntArray = (place[rows] << _SPAN_BITS) + (times_ms - self._start_ms)
        order = np.argsort(keys, kind="stable")
        every = _Points(keys[order], times_ms[order], values[order])
        #: Which series are deltas.
        self._is_delta = np.array([DELTA_LABEL in one for one in self.labels], dtype=bool)
        marks = self._of_deltas(every) & is_mark(every.values)
        self._all = every.only(~marks).without_repeats()
        stale = np.isin(self._all.values.view(np.uint64), _STALE)
        self._stale = stale
        deltas = self._of_deltas(self._all)
        #: The samples of counters and gauges that have not ended.
        self._live = self._all.only(~(stale | deltas)) if (stale | deltas).any() else self._all
        self._deltas = Deltas(
            self._all.keys[deltas], self._all.values[deltas], every.keys[marks], row_bits=_SPAN_BITS
        )
        self._by_metric: dict[str, list[int]] = {}
        for at, one in enumerate(self.labels):
            self._by_metric.setdefault(one[NAME], []).append(at)

    @property
    def metrics(self) -> Sequence[str]:
        """The names of all metrics, sorted."""
        return sorted(self._by_metric)

    def of_metric(self, metric: str) -> IntArray:
        """The places of its series in `labels`."""
        return np.array(self._by_metric.get(metric, []), dtype=np.int64)

    def of_names_like(self, pattern: str) -> IntArray:
        """The places of the series whose metric matches a regular expression (RE2) wholly.

        Raises:
            InputError: the expression is invalid.
        """
        names = self.metrics
        found = [name for name, fits in zip(names, matches(names, pattern), strict=True) if fits]
        return np.array(sorted(at for name in found for at in self._by_metric[name]), dtype=np.int64)

    def interval_s(self, job: str) -> float | None:
        """The usual seconds between two samples of a series, of the job that has the longest; null: no series has two.

        Args:
            job: the label that names the job.
        """
        rows = self._live.keys >> _SPAN_BITS
        same = rows[1:] == rows[:-1]
        rows, gaps_ms = rows[1:][same], np.diff(self._live.times_ms)[same]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        by_job: dict[str, list[float]] = {}
        for row, gaps in zip(rows[starts].tolist(), np.split(gaps_ms, starts[1:]), strict=False):
            by_job.setdefault(self.labels[row].get(job, ""), []).append(float(np.median(gaps)))
        return max((float(np.median(gaps)) / 1000 for gaps in by_job.values()), default=None)

    def values_at(self, series: IntArray, times_ms: IntArray) -> Selected:
        """The newest value of each series at each time, if it is not too old and the series has not ended.

        Args:
            series: places in `labels`.
        """
        points = self._all
        first, last = self._windows(points, series, times_ms, LOOKBACK_MS)
        at = np.maximum(last, 0)
        if not len(points.keys):
            return Selected(np.full(last.shape, np.nan), np.zeros(last.shape, dtype=bool))
        return Selected(points.values[at], (last >= first) & ~self._stale[at])

    def rates_at(self, series: IntArray, times_ms: IntArray, window_s: int) -> Selected:
        """The rate per second of each series in the window before each time, as PromQL's `rate`.

        The increase is corrected for resets, extrapolated to the ends of the window, and divided by its length. That of
        deltas is their sum (`models.metrics.deltas`).
        """
        points = self._live
        first, last = self._windows(points, series, times_ms, window_s * 1000)
        present = last > first
        rates = np.full(present.shape, np.nan)
        ends_ms = np.broadcast_to(times_ms, present.shape)[present]
        rates[present] = _rates(points, first[present], last[present], ends_ms, window_s)
        if (deltas := self._is_delta[series]).any():
            increases, told = self._deltas.increases(
                series[deltas], times_ms - self._start_ms, window_s * 1000
            )
            rates[deltas], present[deltas] = increases / window_s, told
        return Selected(rates, present)

    def going_on_at(self, series: IntArray, times_ms: IntArray) -> Selected:
        """Which series have not ended at each time. A series of deltas never ends: it counts in its intervals."""
        found = self.values_at(series, times_ms)
        return Selected(found.values, found.present | self._is_delta[series][:, np.newaxis])

    def extremes_at(self, series: IntArray, times_ms: IntArray, window_s: int) -> tuple[Selected, Selected]:
        """The highest and the lowest value of each series in the window before each time.

        These are PromQL's `max_over_time` and `min_over_time`.
        """
        points = self._live
        first, last = self._windows(points, series, times_ms, window_s * 1000)
        present = last >= first
        # Of each two neighbours, the first one is the window, and the second one is what lies between two windows.
        bounds = np.stack([first[present], last[present] + 1], axis=1).reshape(-1)
        ended = np.append(points.values, np.nan)
        highest, lowest = np.full(present.shape, np.nan), np.full(present.shape, np.nan)
        if len(bounds):
            highest[present] = np.fmax.reduceat(ended, bounds)[::2]
            lowest[present] = np.fmin.reduceat(ended, bounds)[::2]
        return Selected(highest, present), Selected(lowest, present)

    def _of_deltas(self, points: "_Points") -> BoolArray:
        """Which samples are of deltas."""
        found: BoolArray = self._is_delta[points.keys >> _SPAN_BITS]
        return found

    def _windows(
        self, points: "_Points", series: IntArray, ends_ms: IntArray, length_ms: int
    ) -> tuple[IntArray, IntArray]:
        """First and last sample of each series in each window, both of its ends included; last < first: none."""
        base = (series << _SPAN_BITS)[:, np.newaxis]
        ends = ends_ms - self._start_ms
        first = np.searchsorted(points.keys, base + np.maximum(ends - length_ms, 0), side="left")
        last = np.searchsorted(points.keys, base + np.maximum(ends, -1), side="right") - 1
        return first, last


@dataclass(frozen=True, slots=True)
class _Points:
    """Samples by series and time.

    Attributes:
        keys: they rise with series and time.
    """

    keys: IntArray
    times_ms: IntArray
    values: FloatArray

    def only(self, chosen: BoolArray) -> "_Points":
        return _Points(self.keys[chosen], self.times_ms[chosen], self.values[chosen])

    def without_repeats(self) -> "_Points":
        """The first sample of each series and time."""
        return self.only(np.append(True, self.keys[1:] != self.keys[:-1])[: len(self.keys)])


def _rates(points: _Points, first: IntArray, last: IntArray, ends_ms: IntArray, window_s: int) -> FloatArray:
    """extrapolatedRate of windows that have at least two samples, from `first` to `last`."""
    times_ms, values = points.times_ms, points.values
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        increase = _increases(values, first, last)
        to_start = (times_ms[first] - (ends_ms - window_s * 1000)) / 1000
        to_end = (ends_ms - times_ms[last]) / 1000
        sampled = (times_ms[last] - times_ms[first]) / 1000
        between = sampled / (last - first)
        # A counter that was 0 within the window did not grow before.
        to_zero = sampled * (values[first] / increase)
        grew = (increase > 0) & (values[first] >= 0)
        to_start = np.where(grew & (to_zero < to_start), to_zero, to_start)
        threshold = between * 1.1
        reached = sampled + np.where(to_start < threshold, to_start, between / 2)
        reached = reached + np.where(to_end < threshold, to_end, between / 2)
        return np.asarray(increase * (reached / sampled / window_s), dtype=np.float64)


def _increases(values: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    """What each counter grew by; after a reset it starts from 0.

    The counts before resets are added one after the other, and only within a window: differences of sums over the
    whole span would lose the digits of small rates.
    """
    increase: FloatArray = values[last] - values[first]
    resets = np.append(0, np.cumsum(values[1:] < values[:-1]))
    (affected,) = np.nonzero(resets[last] > resets[first])
    at = first[affected]
    while len(affected):
        at = at + 1
        inside = at <= last[affected]
        affected, at = affected[inside], at[inside]
        before = values[at - 1]
        increase[affected] += np.where(values[at] < before, before, 0.0)
    return increase


def matches(texts: Sequence[str], pattern: str) -> BoolArray:
    """Which texts match a regular expression (RE2, as in Prometheus) wholly.

    Raises:
        InputError: the expression is invalid.
    Examples:
        >>> matches(["500", "5000", "404"], "5..").tolist()
        [True, False, False]
    """
    try:
        found = pc.match_substring_regex(pa.array(texts, pa.string()), f"^(?:{pattern})$")
    except pa.ArrowInvalid as error:
        raise InputError(f"'{pattern}' is no regular expression: {error}") from error
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def having(
    labels: Sequence[Mapping[str, str]], where: Mapping[str, str], *, negated: bool = False
) -> BoolArray:
    """Which label sets match all regular expressions (or none of them, negated); a missing label is empty."""
    chosen = np.ones(len(labels), dtype=bool)
    for name, pattern in where.items():
        texts = [one.get(name, "") for one in labels]
        distinct = sorted(set(texts))
        fits = dict(zip(distinct, matches(distinct, pattern).tolist(), strict=True))
        chosen &= np.array([fits[text] is not negated for text in texts], dtype=bool)
    return chosen


def equal_to(labels: Iterable[Mapping[str, str]], where: Mapping[str, str]) -> BoolArray:
    """Which label sets have these values; an empty value means that the label is missing."""
    return np.array(
        [all(one.get(name, "") == value for name, value in where.items()) for one in labels], dtype=bool
    )
