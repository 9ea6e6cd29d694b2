"""Planned maintenance: disturbances within it need no alert."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from core.domain import Event, EventKind

#: A disturbance may begin a little before a maintenance window and end a little after it.
MAINTENANCE_SLACK = timedelta(minutes=30)
#: Assumed length of a maintenance without an end.
MAINTENANCE_LASTS = timedelta(hours=1)


def is_planned(service: str, start: datetime, end: datetime, events: Iterable[Event]) -> bool:
    """Whether a whole time range lies in a maintenance window, slack included."""
    return any(
        event.kind is EventKind.MAINTENANCE
        and event.service in (service, "*")
        and event.at - MAINTENANCE_SLACK <= start
        and end <= (event.until or event.at + MAINTENANCE_LASTS) + MAINTENANCE_SLACK
        for event in events
    )
