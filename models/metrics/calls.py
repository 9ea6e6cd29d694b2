"""Which service calls which, from metrics whose labels name both ends of a call.

References:
    https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (http.client.request.duration, server.address)
    https://opentelemetry.io/docs/specs/semconv/general/attributes/ (peer.service)
    https://grafana.com/docs/tempo/latest/metrics-from-traces/service_graphs/ (traces_service_graph_request_total)
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from models.metrics.promql import selector
from models.metrics.recipe import CallMetric, Term
from models.metrics.signal_series import host_name, is_address

#: Labels by which clients name the service that they call, the most important first.
PEER_LABELS = (
    "peer_service", "server_address", "net_peer_name", "http_host", "client_name", "clientName", "target_service",
    "upstream_service", "upstream", "peer",
)  # fmt: skip
#: The side that calls; in names of metrics, not in those of labels.
_CLIENT = re.compile(r"(^|_)(client|outgoing|outbound|upstream)_")
_COUNT = re.compile(r"_(count|total)$")
_IN_CLUSTER = re.compile(r"^(?P<service>[^.]+)\.[^.]+\.svc(\.|$)")
#: What proxies and libraries write when they do not know the other end, and users outside.
_NOBODY = frozenset(
    {"", "unknown", "none", "user", "blackholecluster", "passthroughcluster", "inboundpassthroughcluster"}
)


def call_query(call: CallMetric, service_labels: Sequence[str], only: Sequence[str] = ()) -> str:
    """One value for each pair of services, in PromQL.

    Examples:
        >>> graph = CallMetric(metric="traces_service_graph_request_total", caller=("client",), callee=("server",))
        >>> call_query(graph, ())
        'group by (client, server) (traces_service_graph_request_total)'
    """
    term = Term(metric=call.metric, where=call.where, excluding=call.excluding)
    return f"group by ({', '.join(call_grouping(call, service_labels))}) ({selector(term, only)})"


def call_grouping(call: CallMetric, service_labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that name the two services; a caller may be named as hosts are, by job and instance."""
    return tuple(dict.fromkeys((*(call.caller or service_labels), *call.callee)))


def callee_in(call: CallMetric, labels: Mapping[str, str]) -> str | None:
    """The called service; null when the labels do not name it."""
    return _first(labels, call.callee)


def caller_in(call: CallMetric, labels: Mapping[str, str]) -> str | None:
    """The calling service that the labels of the call name; null when they name none."""
    return _first(labels, call.caller)


def client_metrics(metrics: Iterable[str], natives: Container[str] = ()) -> Iterator[CallMetric]:
    """Metrics of clients that follow conventions.

    Args:
        natives: those of the metrics that are native histograms.
    Examples:
        >>> [one.metric for one in client_metrics(["http_client_request_duration_seconds_count", "redis_clients"])]
        ['http_client_request_duration_seconds_count']
    """
    for metric in metrics:
        if _CLIENT.search(metric) and (_COUNT.search(metric) or metric in natives):
            yield CallMetric(metric=metric, callee=PEER_LABELS)


def service_named(text: str) -> str | None:
    """The service that a host, an address or the name of a cluster of a proxy stands for; null when it is none.

    Examples:
        >>> service_named("payments.shop.svc.cluster.local:8080")
        'payments'
        >>> service_named("outbound|9080||reviews.default.svc.cluster.local")
        'reviews'
        >>> service_named("https://api.stripe.com/v1")
        'api.stripe.com'
        >>> [service_named(text) for text in ("10.0.0.7:80", "localhost", "unknown")]
        [None, None, None]
    """
    # Istio writes `direction|port|subset|host`.
    place = text.strip().rpartition("|")[2]
    place = place.partition("://")[2] or place
    place = place.partition("/")[0]
    host = host_name(place)
    if host.lower() in _NOBODY or is_address(host) or is_address(place):
        return None
    inside = _IN_CLUSTER.match(host)
    return inside["service"] if inside else host


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The service of the first label that names one."""
    return next((found for name in names if (found := service_named(labels.get(name, "")))), None)
