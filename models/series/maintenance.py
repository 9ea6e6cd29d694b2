"""Planned maintenance, and what it explains: what it disturbs wakes nobody."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from core.domain import Event, EventKind

#: What a maintenance window disturbs begins a little early and ends a little late.
MAINTENANCE_SLACK = timedelta(minutes=30)
#: A maintenance without an end is taken to last so long.
MAINTENANCE_LASTS = timedelta(hours=1)


def is_planned(service: str, start: datetime, end: datetime, events: Iterable[Event]) -> bool:
    """Whether all of a span lies in a maintenance window, or in its echo."""
    return any(
        event.kind is EventKind.MAINTENANCE
        and event.service in (service, "*")
        and event.at - MAINTENANCE_SLACK <= start
        and end <= (event.until or event.at + MAINTENANCE_LASTS) + MAINTENANCE_SLACK
        for event in events
    )
