"""Which side of a series is bad: as people declare it, else as its name and its limit tell."""

from core.domain import Direction, Role, Series
from core.metric_names import is_used, lower_is_worse


def low_is_bad(series: Series) -> bool | None:
    """Whether too little of a series is bad: as declared, else by its name; null: both sides, or nobody knows.

    A limit of 0 tells it too: what has such an end runs out, unless it is an error, a latency or what is used.

    Examples:
        >>> low_is_bad(Series(tenant="t", service="db", metric="disk_free_bytes"))
        True
        >>> low_is_bad(Series(tenant="t", service="db", metric="coolant", limit=0.0))
        True
    """
    match series.direction:
        case Direction.UP_IS_BAD:
            return False
        case Direction.DOWN_IS_BAD:
            return True
        case Direction.BOTH:
            return None
    if lower_is_worse(series.metric):
        return True
    if series.role in (Role.LATENCY, Role.ERRORS) or is_used(series.metric):
        return False
    return True if series.limit == 0 and series.slo_threshold is None else None
