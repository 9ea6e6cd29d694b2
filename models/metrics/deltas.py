"""Counters that are sent as deltas: what they grew by in an interval. OpenTelemetry can send them so.

Prometheus's `rate` extrapolates, because a count does not tell what happens between two samples. It needs counts at
regular times, and a sender of deltas sends nothing where nothing was counted: a single event would give up to twice its
rate. A delta tells its interval. So the increase of a window is the sum of the deltas in it; of a delta at the edge of
the window, the part that lies within counts. Nothing is extrapolated, and windows that touch one another count each
event once. Where windows begin and end at samples, this is the rate that Prometheus computes from the counts.

A delta over (start, end] is kept as two samples of a series with the label `DELTA_LABEL`: `MARK` at its start and the
delta at its end.
"""

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray

#: Marks the series of deltas. No client of Prometheus sends such a label.
DELTA_LABEL = "__delta__"
#: A sample with this value is the start of a delta.
MARK = -0.0
#: A delta over a longer time counts in its last 45 seconds: values are computed a minute after their time, and would
#: lack the part of a delta that comes later. 15 seconds are for the way.
MAX_SPREAD_MS = 45_000


def starts_of(start_ms: IntArray, end_ms: IntArray) -> IntArray:
    """The times of the marks of deltas, before their ends."""
    starts: IntArray = np.minimum(np.maximum(start_ms, end_ms - MAX_SPREAD_MS), end_ms - 1)
    return starts


def is_mark(values: FloatArray) -> BoolArray:
    """Which samples of deltas are starts."""
    found: BoolArray = (values == 0) & np.signbit(values)
    return found


class Deltas:
    """The deltas of many series.

    A delta that overlaps the one before it counts in the rest of its interval.

    Args:
        ends: keys of the ends of the deltas, without repeats: the number of the series above `row_bits`, the time in
            milliseconds below.
        values: of the deltas.
        marks: keys of the starts.
    """

    def __init__(self, ends: IntArray, values: FloatArray, marks: IntArray, *, row_bits: int) -> None:
        self._ends, self._values, self._bits = ends, values, row_bits
        rows = ends >> row_bits
        starts = ends - MAX_SPREAD_MS
        if len(marks):
            before = np.searchsorted(marks, ends, side="left") - 1
            own = (before >= 0) & (marks[before] >> row_bits == rows)
            starts = np.where(own, marks[before], starts)
        follows = np.append(False, rows[1:] == rows[:-1])[: len(ends)]
        starts[follows] = np.maximum(starts[follows], ends[:-1][follows[1:]])
        self._starts = starts

    def increases(self, rows: IntArray, ends: IntArray, length_ms: int) -> tuple[FloatArray, BoolArray]:
        """What each series grew by in the window before each time, and where any delta tells it.

        Args:
            rows: numbers of series.
            ends: of the windows, on the time of the keys.
        Returns:
            Both (series, times).
        """
        base = (rows << self._bits)[:, np.newaxis]
        last, first = base + ends, base + (ends - length_ms)
        # the first delta that ends after the start of the window, and after its end
        low = np.searchsorted(self._ends, np.maximum(first, base - 1), side="right")
        high = np.searchsorted(self._ends, np.maximum(last, base - 1), side="right")
        at_start, _ = self._part(low, rows, first)
        at_end, reached = self._part(high, rows, last)
        return self._sums(low, high) + at_end - at_start, (high > low) | reached

    def _part(self, at: IntArray, rows: IntArray, moments: IntArray) -> tuple[FloatArray, BoolArray]:
        """What of these deltas lies before a moment, and whether anything does."""
        if not len(self._ends):
            return np.zeros(at.shape), np.zeros(at.shape, dtype=bool)
        inside = np.minimum(at, len(self._ends) - 1)
        start, end = self._starts[inside], self._ends[inside]
        reached = (at < len(self._ends)) & (end >> self._bits == rows[:, np.newaxis]) & (start < moments)
        share = np.where(reached, (moments - start) / (end - start), 0.0)
        return self._values[inside] * share, reached

    def _sums(self, low: IntArray, high: IntArray) -> FloatArray:
        """The sums of the deltas from `low` up to `high`; each is added up by itself, so that small ones stay exact."""
        edges = np.stack([low, high], axis=-1).ravel()
        if not len(edges):
            return np.zeros(low.shape)
        sums = np.add.reduceat(np.append(self._values, 0.0), edges)[::2].reshape(low.shape)
        return np.where(high > low, sums, 0.0)
