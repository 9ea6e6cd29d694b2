"""Measures of anomaly scores against labels: by value, by range and by event, without point adjustment.

Point-adjusted F1 is left out on purpose: with it, a random score reaches 0.7 to 0.96 on the usual data sets.
"""

from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S

#: TSB-AD's default, in steps: a detection that is so far beyond a labelled range still counts in part.
VUS_WINDOW = 100
#: TSB-AD's number of thresholds, evenly spaced over the ranks.
VUS_THRESHOLDS = 250


def average_precision(score: FloatArray, label: BoolArray) -> float:
    """Mean precision over the recall levels; equal scores count together; NaN without a label.

    The same as `sklearn.metrics.average_precision_score`; a missing score counts as the lowest.
    """
    positives = int(label.sum())
    if positives == 0:
        return float("nan")
    score = np.where(np.isnan(score), -np.inf, score)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    hits = np.cumsum(label[order])[last_of_tie]
    flagged = np.flatnonzero(last_of_tie) + 1
    gained = np.diff(hits, prepend=0)
    return float((hits / flagged * gained).sum() / positives)


def ranges(label: BoolArray) -> list[tuple[int, int]]:
    """First and last index (inclusive) of every run of True.

    Examples:
        >>> ranges(np.array([True, False, True, True]))
        [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], label.astype(bool), [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def vus_pr(score: FloatArray, label: BoolArray, window: int = VUS_WINDOW) -> float:
    """Volume under the precision-recall surface over buffers of 0 .. `window` steps around labels, range [0, 1].

    NaN without a label. Follows the reference implementation of TSB-AD (`RangeAUC_volume_opt`), whose thresholds
    are 250 ranks, evenly spaced; here by cumulative sums instead of a pass for each threshold.

    References:
        Paparrizos et al. (2022), Volume under the surface, PVLDB 15. Liu and Paparrizos (2024), TSB-AD, NeurIPS.
    """
    truth = label.astype(bool)
    segments = ranges(truth)
    if not segments:
        return float("nan")
    n = truth.size
    score = np.nan_to_num(score, nan=-np.inf)
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    cuts = falling[np.linspace(0, n - 1, VUS_THRESHOLDS).astype(int)]
    flagged = np.searchsorted(-falling, -cuts, side="right")  # values at or above each cut
    outside = ~truth[order]
    positives = int(truth.sum())
    volume = 0.0
    for width in range(window + 1):
        soft = _soften(truth, segments, width)
        ranked = soft[order]
        true = np.cumsum(ranked)[flagged - 1]
        extra = np.cumsum(ranked * outside)[flagged - 1]
        merged = _merge(segments, width, n)
        best = np.array([score[first : last + 1].max() for first, last in merged])
        existence = (best[None, :] >= cuts[:, None]).mean(axis=1)
        recall = np.minimum(true / (positives + extra / 2), 1.0) * existence
        volume += float(np.dot(np.diff(recall, prepend=0.0), true / flagged))
    return volume / (window + 1)


def _soften(truth: BoolArray, segments: list[tuple[int, int]], width: int) -> FloatArray:
    """Labels with slopes of `width // 2` steps on both sides, falling like a square root."""
    soft = truth.astype(np.float64)
    for first, last in segments:
        after = np.arange(last + 1, min(last + width // 2 + 1, soft.size))
        soft[after] += np.sqrt(1 - (after - last) / max(width, 1))
        before = np.arange(max(first - width // 2, 0), first)
        soft[before] += np.sqrt(1 - (first - before) / max(width, 1))
    return np.minimum(soft, 1.0)


def _merge(segments: list[tuple[int, int]], width: int, n: int) -> list[tuple[int, int]]:
    """The segments, `width // 2` steps wider on both sides, joined where they touch."""
    merged: list[tuple[int, int]] = []
    for first, last in segments:
        first, last = max(first - width // 2, 0), min(last + width // 2, n - 1)
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Alarms against labelled events; counts add up over series.

    Attributes:
        events: labelled ranges.
        found: labelled ranges that an alarm touches.
        alarms: runs of flagged values, joined over short gaps.
        true_alarms: alarms that touch a labelled range.
        days: length of the scored span.
        delays_s: time from the start of each found event to its first alarm, >= 0.
    """

    events: int
    found: int
    alarms: int
    true_alarms: int
    days: float
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: "EventCounts") -> "EventCounts":
        return EventCounts(
            events=self.events + other.events,
            found=self.found + other.found,
            alarms=self.alarms + other.alarms,
            true_alarms=self.true_alarms + other.true_alarms,
            days=self.days + other.days,
            delays_s=self.delays_s + other.delays_s,
        )

    @property
    def precision(self) -> float:
        return self.true_alarms / self.alarms if self.alarms else float("nan")

    @property
    def recall(self) -> float:
        return self.found / self.events if self.events else float("nan")

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0

    @property
    def false_alarms_per_day(self) -> float:
        return (self.alarms - self.true_alarms) / self.days if self.days else float("nan")

    @property
    def median_delay_s(self) -> float:
        return float(np.median(self.delays_s)) if self.delays_s else float("nan")


def count_events(flagged: BoolArray, label: BoolArray, times_s: IntArray, join_s: int) -> EventCounts:
    """Match runs of flagged values with labelled ranges; one common value is a match.

    Args:
        times_s: epoch seconds, ascending.
        join_s: runs that are closer than this are one alarm.
    """
    events = ranges(label)
    alarms: list[tuple[int, int]] = []
    for first, last in ranges(flagged):
        if alarms and times_s[first] - times_s[alarms[-1][1]] <= join_s:
            alarms[-1] = (alarms[-1][0], last)
        else:
            alarms.append((first, last))
    delays = [
        float(times_s[first + int(np.argmax(flagged[first : last + 1]))] - times_s[first])
        for first, last in events
        if flagged[first : last + 1].any()
    ]
    return EventCounts(
        events=len(events),
        found=len(delays),
        alarms=len(alarms),
        true_alarms=sum(bool(label[first : last + 1].any()) for first, last in alarms),
        days=float(times_s[-1] - times_s[0]) / DAY_S if times_s.size else 0.0,
        delays_s=tuple(delays),
    )
