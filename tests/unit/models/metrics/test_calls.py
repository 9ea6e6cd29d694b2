"""Names of called services, as proxies, clients and discovery write them."""

import pytest

from core.errors import InputError
from models.metrics.calls import callee_in, client_metrics, service_named
from models.metrics.parse_recipes import parse_exporter
from models.metrics.recipe import CallMetric


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("payments", "payments"),
        (" payments ", "payments"),
        ("payments:8080", "payments"),
        ("payments.shop.svc", "payments"),
        ("payments.shop.svc.cluster.local:80", "payments"),
        ("http://payments.shop.svc.cluster.local/pay?x=1", "payments"),
        ("outbound|443|v2|payments.shop.svc.cluster.local", "payments"),
        ("outbound|443||api.stripe.com", "api.stripe.com"),
        ("db-1.internal.example.com:5432", "db-1.internal.example.com"),
        ("10.1.2.3:443", None),
        ("[fe80::1]:443", None),
        ("::1", None),
        ("localhost:3000", None),
        ("PassthroughCluster", None),
        ("unknown", None),
        ("", None),
        ("|||", None),
    ],
)
def test_a_host_or_cluster_names_a_service_or_nobody(text: str, service: str | None) -> None:
    assert service_named(text) == service


def test_the_first_label_that_names_somebody_counts() -> None:
    call = CallMetric(metric="calls_total", callee=("peer_service", "server_address"))
    assert callee_in(call, {"peer_service": "unknown", "server_address": "stock:80"}) == "stock"
    assert callee_in(call, {"server_address": "10.0.0.1"}) is None


@pytest.mark.parametrize(
    ("metric", "is_of_calls"),
    [
        ("http_client_request_duration_seconds_count", True),
        ("http_client_requests_seconds_count", True),
        ("rpc_client_duration_milliseconds_count", True),
        ("db_client_operation_duration_seconds_count", True),
        ("outgoing_requests_total", True),
        ("http_client_request_duration_seconds_bucket", False),
        ("http_server_request_duration_seconds_count", False),
        ("redis_connected_clients", False),
    ],
)
def test_metrics_of_clients_are_told_by_their_names(metric: str, is_of_calls: bool) -> None:
    assert bool(list(client_metrics([metric]))) is is_of_calls


def test_a_file_may_have_calls_only_and_an_unnamed_callee_is_an_error() -> None:
    file = {
        "exporter": "mesh",
        "calls": [{"metric": "calls_total", "callee": ["to"], "where": {"side": "out"}}],
    }
    assert parse_exporter(file, "mesh.yaml").calls == (
        CallMetric(metric="calls_total", callee=("to",), where={"side": "out"}),
    )
    with pytest.raises(InputError, match=r"mesh.yaml: calls.0.callee"):
        parse_exporter({"exporter": "mesh", "calls": [{"metric": "calls_total", "callee": []}]}, "mesh.yaml")
