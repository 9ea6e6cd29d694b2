"""Recipes for metrics that follow conventions: histograms and counters of requests, in any application.

References:
    https://prometheus.io/docs/practices/naming/
    https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
    https://github.com/grpc-ecosystem/go-grpc-middleware (grpc_server_handled_total)
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace

from core.domain import Direction, Role
from models.metrics.recipe import Recipe, Scope, Term

#: Labels that hold the result of a request, the most usual first.
CODE_LABELS = (
    "code", "status", "status_code", "http_status", "http_status_code", "http_response_status_code",
    "response_code", "grpc_code", "rpc_grpc_status_code", "outcome", "result",
)  # fmt: skip
#: Results that are the server's fault, as HTTP, gRPC and people write them.
FAILED = (
    "5..|5xx|(?i:(server_)?errors?|fail(ed|ure)?|exception|unknown|internal|unavailable|data_?loss"
    "|deadline_?exceeded|resource_?exhausted|unimplemented|aborted)"
)
QUANTILES = (0.5, 0.9, 0.99)
#: Replicas are compared by this one: the 99th percentile of one replica is often a single request.
QUANTILE_OF_PEERS = 0.9
#: With fewer requests in a step, the error ratio is computed as if there were so many, so that one error of two
#: requests at night is no outage.
ENOUGH_REQUESTS = 20

_REQUEST = re.compile(r"(^|_)(https?|grpc|rpc|requests?|rq|quer(y|ies)|commands?|calls?|jobs?|tasks?)(_|$)")
_DURATION = re.compile(r"^(?P<stem>\w+?)_(?P<unit>seconds|milliseconds|ms|microseconds)_bucket$", re.ASCII)
_REQUEST_AT_END = re.compile(r"(requests?|rq|calls?|commands?|jobs?|tasks?)$")
_OF_DURATIONS = re.compile(r"_?(duration|latency|time|elapsed|handling|handled|response_time|processing)$")
_UNITS = {"seconds": "seconds", "milliseconds": "ms", "ms": "ms", "microseconds": "microseconds"}


def is_of_requests(metric: str) -> bool:
    """Whether a histogram or counter seems to count requests.

    Examples:
        >>> [is_of_requests(name) for name in ("http_request_duration_seconds_bucket", "grpc_server_handled_total")]
        [True, True]
        >>> is_of_requests("gc_pause_seconds_bucket")
        False
    """
    if metric.endswith("_bucket"):
        return bool(_DURATION.match(metric)) and bool(
            _REQUEST.search(metric) or re.search("duration|latency|handling", metric)
        )
    return metric.endswith("_total") and bool(_REQUEST.search(metric))


def is_native(metric: str, known: Container[str], types: Mapping[str, str]) -> bool:
    """Whether a metric is a native histogram, without classic buckets beside it: one series has all its buckets.

    Args:
        known: the metrics that exist.
        types: metric -> declared type.
    Examples:
        >>> is_native("rpc_seconds", {"rpc_seconds"}, {"rpc_seconds": "histogram"})
        True
    """
    return types.get(metric) == "histogram" and metric in known and f"{metric}_bucket" not in known


def request_recipes(
    metrics: Iterable[str], code_labels: Mapping[str, str], natives: Iterable[str] = ()
) -> Iterator[Recipe]:
    """Traffic, error ratio and latency of all metrics that count requests.

    Args:
        metrics: the metrics that exist.
        code_labels: metric -> its label that holds the result of a request, of those that have one.
        natives: those of the metrics that are native histograms.
    """
    known = set(metrics)
    counted: set[str] = set()
    for metric in sorted(known):
        if metric.endswith("_bucket") and is_of_requests(metric):
            base = metric.removesuffix("_bucket")
            yield from _latency(base, Term(metric=metric, rate=True))
            if f"{base}_count" in known:
                counted.add(_stem(base))
                yield from _counts(_stem(base), Term(metric=f"{base}_count", rate=True), code_labels)
    for metric in sorted(natives):
        if is_of_requests(f"{metric}_bucket"):
            counted.add(_stem(metric))
            histogram = Term(metric=metric, rate=True, native=True)
            yield from _latency(metric, histogram)
            yield from _counts(_stem(metric), histogram, code_labels)
    for metric in sorted(known & code_labels.keys()):
        if metric.endswith("_total"):
            stem, requests = _stem(metric.removesuffix("_total")), Term(metric=metric, rate=True)
            if stem not in counted:
                yield _traffic(stem, requests)
            yield _errors(stem, requests, code_labels[metric])


def _stem(base: str) -> str:
    """The name without duration and unit: `http_request_duration_seconds` -> `http_request`."""
    match = _DURATION.match(f"{base}_bucket")
    stem = _OF_DURATIONS.sub("", match["stem"] if match else base)
    return stem if _REQUEST_AT_END.search(stem) else f"{stem}_request"


def _counts(stem: str, requests: Term, code_labels: Mapping[str, str]) -> Iterator[Recipe]:
    """Traffic, and the error ratio where a label holds the result."""
    yield _traffic(stem, requests)
    if requests.metric in code_labels:
        yield _errors(stem, requests, code_labels[requests.metric])


def _latency(base: str, histogram: Term) -> Iterator[Recipe]:
    match = _DURATION.match(f"{base}_bucket")
    if match is None:
        return
    unit = match["unit"]
    for quantile in QUANTILES:
        name = f"p{100 * quantile:g}".replace(".", "")
        yield Recipe(
            signal=f"{match['stem']}_{name}_{unit}",
            about=f"{100 * quantile:g} % of the requests take at most so long",
            role=Role.LATENCY,
            unit=_UNITS[unit],
            direction=Direction.UP_IS_BAD,
            scope=Scope.SERVICE,
            formula="buckets",
            quantile=quantile,
            terms={"buckets": histogram},
            peers=quantile == QUANTILE_OF_PEERS,
        )


def _traffic(stem: str, requests: Term) -> Recipe:
    return Recipe(
        signal=f"{stem.removesuffix('s')}s_per_second",
        about="requests that the service handled",
        role=Role.TRAFFIC,
        unit="requests/s",
        direction=Direction.BOTH,
        scope=Scope.SERVICE,
        formula="requests",
        terms={"requests": requests},
        peers=True,
    )


def _errors(stem: str, requests: Term, code_label: str) -> Recipe:
    failed = replace(requests, matching={code_label: FAILED}, else_zero_of="requests")
    return Recipe(
        signal=f"{stem.removesuffix('s')}_error_ratio",
        about=f"requests that failed, of all requests, or of {ENOUGH_REQUESTS} where there are fewer",
        role=Role.ERRORS,
        unit="ratio",
        direction=Direction.UP_IS_BAD,
        scope=Scope.SERVICE,
        formula=f"clamp(failed / max(requests, {ENOUGH_REQUESTS} / window))",
        terms={"requests": requests, "failed": failed},
        peers=True,
    )
