"""Events of wholes that were resized, such as a disk: which series one is about."""

from datetime import datetime

from core.domain import Event, EventKind, Role, Series
from core.entities import entity_of, title_of
from core.formatting import format_value

#: What a resize changed: the limit of a series, or a size that was measured beside it.
LIMIT, SIZE = "limit", "size"


def resize_event(series: Series, what: str, before: float, after: float, *, unit: str, at: datetime) -> Event:
    """The event of a changed whole, for people, for diagnoses and for `is_resize_of`.

    Args:
        what: `LIMIT` or `SIZE`.
        unit: of `before` and `after`.
    """
    shown = " to ".join(format_value(one, unit) for one in (before, after))
    return Event(
        tenant=series.tenant,
        service=series.service,
        kind=EventKind.CONFIG_CHANGE,
        at=at,
        title=f"{title_of(series)}: {what} from {shown}",
        metric=series.metric,
        labels=series.labels,
    )


def is_resize_of(event: Event, series: Series) -> bool:
    """Whether the event resized what the series measures: the series itself, or the same disk, volume or pool."""
    if event.kind is not EventKind.CONFIG_CHANGE or event.metric is None or event.service != series.service:
        return False
    if (event.metric, event.labels) == (series.metric, series.labels):
        return True
    entity = entity_of(series.service, series.labels)
    return series.role is Role.CAPACITY and entity != "" and entity == entity_of(event.service, event.labels)


def is_limit_change(event: Event) -> bool:
    """Whether the event is the change of the limit of a series, and not of a size that was measured beside it."""
    resized = event.kind is EventKind.CONFIG_CHANGE and event.metric is not None
    return resized and f": {LIMIT} from " in event.title
