"""The window of history that models learn from, and the spans that are left out of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.domain import Event, EventKind, Series, Signal, SignalKind
from core.errors import InsufficientDataError
from core.frames import EXCLUSIONS
from models.series.maintenance import MAINTENANCE_LASTS
from pipelines.common.tenant_platform import Platform

WINDOW = timedelta(days=30)
#: The time before an incident and a while after its end are not normal either.
BEFORE_INCIDENT = timedelta(hours=12)
AFTER_INCIDENT = timedelta(hours=1)
#: A confirmed anomaly ends at its last measured value; the next value, one usual step later, may be abnormal too.
AFTER_CONFIRMED = timedelta(minutes=5)
#: A model must know the holidays of its whole time in use, at most so long.
CALENDAR_AHEAD = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningWindow:
    """The time up to `end` that models learn from.

    Attributes:
        series: all of the tenant.
        exclusions: spans that no model may learn from.
        events: those of the window, and the holidays after it.
    """

    start: datetime
    end: datetime
    series: tuple[Series, ...]
    exclusions: pl.DataFrame
    events: tuple[Event, ...]


def learning_window(platform: Platform, *, at: datetime | None = None) -> LearningWindow:
    """The 30 days before `at`; null: before now, or before the end of the data if that is earlier.

    Raises:
        InsufficientDataError: there are no samples at all.
    """
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; run `forewarn ingest` first")
    end = at or min(platform.clock.now(), span[1] + timedelta(seconds=1))
    start = end - WINDOW
    return LearningWindow(
        start=start,
        end=end,
        series=tuple(platform.store.series.find()),
        exclusions=read_exclusions(platform, start, end, known_at=at),
        events=(*platform.store.events.between(start, end), *holidays_to_come(platform, end)),
    )


def holidays_to_come(platform: Platform, end: datetime) -> list[Event]:
    """The holidays after `end`. They are known long before, and a model needs them to expect a holiday."""
    coming = platform.store.events.between(end, end + CALENDAR_AHEAD)
    return [event for event in coming if event.kind is EventKind.HOLIDAY and event.at >= end]


def read_exclusions(
    platform: Platform, start: datetime, end: datetime, *, known_at: datetime | None = None
) -> pl.DataFrame:
    """Maintenance, incidents and confirmed anomalies that touch the span, as `core.frames.EXCLUSIONS`.

    Only what was known at `end` counts: the time before an incident that began later is not excluded.

    Args:
        known_at: feedback on anomalies after this moment is ignored; null: now.
    """
    rows = [
        (event.service, event.at, event.until or event.at + MAINTENANCE_LASTS)
        for event in platform.store.events.between(start, end)
        if event.kind is EventKind.MAINTENANCE
    ]
    rows += [
        (incident.service, incident.start - BEFORE_INCIDENT, (incident.end or end) + AFTER_INCIDENT)
        for incident in platform.store.incidents.between(start, end)
        if incident.start < end
    ]
    rows += [
        (signal.service, signal.started_at, (signal.ended_at or end) + AFTER_CONFIRMED)
        for signal in _confirmed(platform, start, known_at or platform.clock.now())
        if signal.started_at < end
    ]
    return pl.DataFrame(rows, schema=dict(EXCLUSIONS), orient="row")


def _confirmed(platform: Platform, start: datetime, known_at: datetime) -> list[Signal]:
    """Anomalies since `start` that a person confirmed; the newest feedback on each counts."""
    is_true = {
        one.subject_id: one.value.is_positive for one in platform.store.feedback.list() if one.at <= known_at
    }
    if not any(is_true.values()):
        return []
    found = platform.store.signals.find(kind=SignalKind.ANOMALY, since=start)
    return [signal for signal in found if is_true.get(signal.signal_id, False)]
