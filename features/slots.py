"""Which of a service's series plays which part: the eight slots that failure features speak of."""

from collections.abc import Iterable

from core.domain import Series
from core.metric_names import feature_slot

#: The parts, in the order of the columns.
SLOTS = ("cpu", "memory", "disk", "latency", "errors", "traffic", "connections", "queue")


def slot_of(series: Series) -> str | None:
    """The slot of a series by its metric's name, else by its role; null where it plays none.

    Examples:
        >>> slot_of(Series(tenant="t", service="a", metric="db_connections"))
        'connections'
    """
    return feature_slot(series.metric, series.role)


def scale_of(series: Series) -> float | None:
    """What the values are divided by to give a share: the SLO or the limit; null where there is neither."""
    return series.threshold if series.threshold and series.threshold > 0 else None


def dependencies(series: Iterable[Series]) -> dict[str, tuple[str, ...]]:
    """Service -> the services it calls, from the label `depends_on` ("a,b") of any of its series."""
    found: dict[str, set[str]] = {}
    for one in series:
        names = {name.strip() for name in one.labels.get("depends_on", "").split(",")} - {""}
        found.setdefault(one.service, set()).update(names)
    return {service: tuple(sorted(names)) for service, names in found.items()}
