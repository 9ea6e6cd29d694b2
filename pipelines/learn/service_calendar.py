"""Reads from the store what happened to the services while forecasters learn."""

from datetime import date, datetime, timedelta

from core.domain import EventKind
from models.forecast.history import ServiceCalendar
from models.series.clock import holidays
from pipelines.common.tenant_platform import Platform
from pipelines.learn.learning_window import holidays_to_come, read_exclusions

EPOCH = date(1970, 1, 1)


def read_calendar(platform: Platform, start: datetime, end: datetime) -> ServiceCalendar:
    """The exclusions and deploys between two times, and the holidays of that time and to come."""
    exclusions: dict[str, list[tuple[datetime, datetime]]] = {}
    for service, begin, stop in read_exclusions(platform, start, end).iter_rows():
        exclusions.setdefault(service, []).append((begin, stop))
    deploys: dict[str, list[datetime]] = {}
    events = platform.store.events.between(start, end)
    for event in events:
        if event.kind is EventKind.DEPLOY:
            deploys.setdefault(event.service, []).append(event.at)
    days = holidays([*events, *holidays_to_come(platform, end)])
    dates = {
        service: [EPOCH + timedelta(days=day) for day in sorted(found)] for service, found in days.items()
    }
    return ServiceCalendar(exclusions=exclusions, deploys=deploys, holidays=dates)
