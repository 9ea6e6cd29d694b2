"""The least difference of two values that a person would care about, by unit.

An anomaly can be certain and still not matter: 0.1 ms more for each write is nobody's concern, however regular the
values were before.
"""

from collections.abc import Mapping

from core.domain import Role, Series

#: For other units only the share of the level counts.
LEAST_DIFFERENCES: Mapping[str, float] = {
    "ratio": 0.05,
    "seconds": 0.005,
    "ms": 5.0,
    "microseconds": 5_000.0,
    "bytes": 2.0**24,
    "bytes/s": 10_000.0,
    "cores": 0.05,
    "connections": 2.0,
    "clients": 2.0,
    "threads": 2.0,
    "goroutines": 10.0,
    "processes": 2.0,
    "errors/s": 0.01,
    "requests/s": 0.1,
}
LEAST_ERROR_RATIO = 0.01
#: The least share of the level. Traffic that falls, and latency that rises, by a fifth is no incident.
LEAST_SHARE = 0.25


def least_difference(series: Series, level: float) -> float:
    """The least difference from a level that somebody would care about, >= 0, in the unit of the values.

    Examples:
        >>> writes = Series(tenant="t", service="s", metric="m", unit="seconds")
        >>> [least_difference(writes, level) for level in (0.0005, 2.0)]
        [0.005, 0.5]
    """
    is_error_ratio = series.role is Role.ERRORS and series.unit == "ratio"
    least = LEAST_ERROR_RATIO if is_error_ratio else LEAST_DIFFERENCES.get(series.unit, 0.0)
    # Of a share of the whole, a quarter of 0.9 would hide how full it is.
    return least if series.unit == "ratio" else max(least, LEAST_SHARE * abs(level))
