"""The eight slots of a service that failure features describe, and the scale of a series."""

from collections.abc import Iterable

from core.domain import Series
from core.service_graph import called_services

#: The slots, in the order of the columns.
SLOTS = ("cpu", "memory", "disk", "latency", "errors", "traffic", "connections", "queue")


def scale_of(series: Series) -> float | None:
    """The SLO or the limit, by which values are divided to give a share; null if there is neither."""
    return series.threshold if series.threshold and series.threshold > 0 else None


def dependencies(series: Iterable[Series]) -> dict[str, tuple[str, ...]]:
    """Service -> the services that it calls, by the label `depends_on` of its series."""
    found: dict[str, set[str]] = {}
    for one in series:
        found.setdefault(one.service, set()).update(called_services(one))
    return {service: tuple(sorted(names)) for service, names in found.items()}
