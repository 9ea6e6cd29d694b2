"""Series that fall silent: one finding a service, however many of its series are gone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Factor, ModelRef, Role, Shape, Signal, SignalKind, stable_id
from models.detect.filters import clear_baseline
from models.detect.learned_fleet import LearnedFleet
from models.detect.learned_series import LearnedSeries
from models.series.grid import as_utc
from models.signals.anomaly import severity
from models.signals.ends import NO_ENDS, SeriesEnds
from models.words.missing import missing_series, missing_summary

#: So many steps without a value are a finding, and never less than this time.
MISSING_STEPS = 3
MISSING_S = 600
#: Series of a service that fall silent within this time fall silent together.
TOGETHER = timedelta(minutes=30)
_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class _Gap:
    """One series without values: from when it was due, to when it was back, null while it is not."""

    learned: LearnedSeries
    start: datetime
    back: datetime | None


def missing_signals(
    fleet: LearnedFleet,
    samples: pl.DataFrame,
    model: ModelRef | None,
    *,
    start: datetime,
    end: datetime,
    ends: SeriesEnds = NO_ENDS,
) -> list[Signal]:
    """One signal for each silence that reaches into [start, end), of a series or of several of a service at once.

    Args:
        samples: from well before `start`, so that the last value before a gap is among them.
        ends: a series that its sender ended is not silent, also if it returns later.
    Returns:
        Open while a series of it is gone; the factors name the series.
    """
    by_service: dict[str, list[_Gap]] = defaultdict(list)
    for gap in _gaps(fleet, samples, (start, end), ends):
        by_service[gap.learned.series.service].append(gap)
    return [
        _signal(group, len(fleet.of_service(service)), end, model)
        for service, gaps in sorted(by_service.items())
        for group in _together(gaps)
    ]


def first_values(samples: pl.DataFrame) -> dict[int, datetime]:
    """Series id -> the time of its first value."""
    known = samples.filter(pl.col("value").is_not_null())
    return dict(known.group_by("series_id").agg(pl.col("ts").min()).iter_rows())


def ended_silences(
    known: Sequence[Signal],
    found: Sequence[Signal],
    fleet: LearnedFleet,
    first_seen: Mapping[int, datetime],
    ended: Mapping[int, datetime],
) -> list[Signal]:
    """Known silences, still open, that are over: each of their series has values or has ended, and no gap is found.

    Args:
        first_seen: `first_values` of the samples that were read.
        ended: series id -> when its sender ended it.

    Without this a silence longer than what is read would stay open for ever: the value before it is out of sight.
    """
    going_on = {one.signal_id for one in found}
    over = []
    for one in known:
        if one.kind is not SignalKind.MISSING or one.ended_at is not None or one.signal_id in going_on:
            continue
        keys = [one.series_id] if one.series_id is not None else fleet.of_service(one.service)
        back = [ended.get(key, first_seen.get(key)) for key in keys if key in fleet.series]
        if back and None not in back:
            latest = max(moment for moment in back if moment is not None)
            over.append(replace(one, ended_at=max(latest, one.started_at)))
    return over


def _gaps(
    fleet: LearnedFleet, samples: pl.DataFrame, window: tuple[datetime, datetime], ends: SeriesEnds
) -> list[_Gap]:
    start, end = window
    gaps = []
    present = samples.filter(pl.col("value").is_not_null()).sort("series_id", "ts")
    ids, seconds = present["series_id"].to_numpy(), present["ts"].dt.epoch("s").to_numpy()
    is_newest = np.append(ids[1:] != ids[:-1], True)[: ids.size]
    following = np.where(is_newest, int(end.timestamp()), np.append(seconds[1:], 0)[: ids.size])
    for at in np.flatnonzero(following - seconds > _longest_s(fleet, ids)).tolist():
        one, last_s, back_s = fleet.series[int(ids[at])], int(seconds[at]), int(following[at])
        back = as_utc(back_s)
        if back < start or ends.has_within(int(ids[at]), 1000 * last_s, 1000 * back_s + 999):
            continue
        if not _without_requests(fleet, one, present, (last_s, back_s)):
            due = as_utc(last_s) + timedelta(seconds=one.series.step_s)
            gaps.append(_Gap(one, due, None if is_newest[at] else back))
    return gaps


def _longest_s(fleet: LearnedFleet, ids: IntArray) -> FloatArray:
    """For each sample, the longest time to the next one that is no gap; infinite for a series without a model."""
    known, rows = np.unique(ids, return_inverse=True)
    longest = [
        max(MISSING_STEPS * one.series.step_s, MISSING_S)
        if (one := fleet.series.get(key)) is not None
        else np.inf
        for key in known.tolist()
    ]
    return np.array(longest, dtype=np.float64)[rows]


def _without_requests(
    fleet: LearnedFleet, one: LearnedSeries, present: pl.DataFrame, gap_s: tuple[int, int]
) -> bool:
    """Whether a latency has no values because nobody sent a request: its service's traffic is there, and is 0."""
    if one.series.role is not Role.LATENCY:
        return False
    last_s, back_s = gap_s
    traffic = [
        key for key in fleet.of_service(one.series.service) if fleet.series[key].series.role is Role.TRAFFIC
    ]
    seconds = pl.col("ts").dt.epoch("s")
    inside = present.filter(pl.col("series_id").is_in(traffic), seconds > last_s, seconds < back_s)
    return any((values["value"] == 0).all() for values in inside.partition_by("series_id"))


def _together(gaps: Sequence[_Gap]) -> list[list[_Gap]]:
    groups: list[list[_Gap]] = []
    for gap in sorted(gaps, key=lambda gap: (gap.start, gap.learned.series.name)):
        if groups and gap.start - groups[-1][0].start <= TOGETHER:
            groups[-1].append(gap)
        else:
            groups.append([gap])
    return groups


def _signal(gaps: Sequence[_Gap], of: int, end: datetime, model: ModelRef | None) -> Signal:
    """The signal of one silence; a single series is named as such, several only by their service."""
    first = gaps[0]
    series = first.learned.series
    alone = len(gaps) == 1
    back = None if any(gap.back is None for gap in gaps) else max(gap.back for gap in gaps if gap.back)
    lasted_s = ((back or end) - first.start).total_seconds()
    filters = (clear_baseline(max(gap.learned.days for gap in gaps)),)
    subject = str(series.series_id) if alone else series.service
    return Signal(
        signal_id=stable_id(series.tenant, SignalKind.MISSING, subject, first.start.isoformat()),
        tenant=series.tenant,
        kind=SignalKind.MISSING,
        service=series.service,
        started_at=first.start,
        ended_at=back,
        summary=missing_summary(series, len(gaps), of, lasted_s, is_back=back is not None),
        severity=severity(filters, crossed=False),
        metric=series.metric if alone else None,
        series_id=series.series_id if alone else None,
        labels=series.labels if alone else {},
        unit=series.unit if alone else "",
        shape=Shape.MISSING,
        filters=filters,
        factors=() if alone else _named(gaps),
        model=model,
    )


def _named(gaps: Sequence[_Gap]) -> tuple[Factor, ...]:
    share = 1.0 / len(gaps)
    return tuple(
        Factor(
            name=gap.learned.series.name,
            value=None,
            contribution=share,
            text=missing_series(gap.learned.series, gap.start),
        )
        for gap in gaps[:_NAMED_AT_MOST]
    )
