"""What declared types and names tell about the metrics of Prometheus: which are counters, and which are buckets.

References:
    https://prometheus.io/docs/concepts/metric_types/
"""

from collections.abc import Iterable, Mapping

#: With these endings a histogram or a summary writes its parts.
_PARTS = ("_sum", "_count", "_bucket")


def is_counter(name: str, types: Mapping[str, str]) -> bool:
    """Whether a declared type or the name tell a counter, or the sum or count of a histogram or summary.

    Args:
        types: metric -> declared type; metrics that are not declared are absent or "unknown".

    Examples:
        >>> is_counter("jobs_total", {}), is_counter("jobs", {}), is_counter("jobs", {"jobs": "counter"})
        (True, False, True)
        >>> is_counter("rpc_seconds_sum", {"rpc_seconds": "histogram"})
        True
    """
    declared = types.get(name, "unknown")
    if declared in {"histogram", "summary"}:
        return False
    if declared != "unknown":
        return declared == "counter"
    if name.endswith(_PARTS) and types.get(_family(name)) in {"histogram", "summary"}:
        return True
    # metadata name a counter with its suffix; since OpenMetrics, without it
    return name.endswith("_total") or types.get(name.removesuffix("_total")) == "counter"


def is_bucket(name: str, types: Mapping[str, str]) -> bool:
    """Whether the metric is one bucket of a histogram."""
    return name.endswith("_bucket") and types.get(_family(name), "histogram") == "histogram"


def declaring_names(metrics: Iterable[str]) -> set[str]:
    """All names under which the types of these metrics can be declared."""
    return {name for metric in metrics for name in (metric, _family(metric), metric.removesuffix("_total"))}


def declared_names(metrics: Iterable[str]) -> set[str]:
    """All metrics whose type may depend on the types of these metrics."""
    return {metric + ending for metric in metrics for ending in ("", "_total", *_PARTS)}


def _family(name: str) -> str:
    return name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket")
