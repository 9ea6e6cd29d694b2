"""The service graph from metrics, on a real Prometheus: what its proxies, traces and clients count."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.platform import platform_of
from servers.prometheus import backfill, missing_programs, prometheus

from core.clock import FixedClock
from pipelines.collect.ingest import ingest
from pipelines.common.service_graph import graph_of
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.recipe_files import read_exporters
from pipelines.stores.store import Store

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CLOCK = FixedClock(NOW + timedelta(minutes=1))
COUNTERS = (
    'istio_requests_total{job="mesh",reporter="destination",source_canonical_service="web",source_workload="web-v1",'
    'destination_service_name="checkout"}',
    'istio_requests_total{job="mesh",reporter="source",source_workload="batch",destination_service_name="checkout"}',
    'istio_requests_total{job="mesh",source_workload="unknown",destination_service_name="web"}',
    'istio_requests_total{job="mesh",source_workload="web",destination_service_name="PassthroughCluster"}',
    'envoy_cluster_upstream_rq_total{job="edge",instance="10.0.0.1:9901",envoy_cluster_name="web"}',
    'envoy_cluster_upstream_rq_total{job="edge",envoy_cluster_name="outbound|80||search.shop.svc.cluster.local"}',
    'envoy_cluster_upstream_rq_total{job="edge",envoy_cluster_name="xds_cluster"}',
    'request_total{job="linkerd-proxy",deployment="cart",direction="outbound",dst_deployment="stock"}',
    'request_total{job="linkerd-proxy",deployment="cart",direction="inbound",dst_deployment="cart"}',
    'traces_service_graph_request_total{job="tempo",client="checkout",server="payments"}',
    'traces_service_graph_request_total{job="tempo",client="user",server="web"}',
    'http_client_request_duration_seconds_count{job="payments",server_address="bank.example.com"}',
    'http_client_requests_seconds_count{job="stock",client_name="10.2.3.4"}',
    'rpc_client_duration_milliseconds_count{service_name="stock",net_peer_name="ledger.shop.svc:9000"}',
    'http_client_request_duration_seconds_count{job="payments",server_address="payments"}',
    'http_requests_total{job="web",peer="cart"}',
)
CALLS = (
    ("batch", "checkout"), ("cart", "stock"), ("checkout", "payments"), ("edge", "search"), ("edge", "web"),
    ("payments", "bank.example.com"), ("stock", "ledger"), ("web", "checkout"),
)  # fmt: skip


def test_calls_are_read_from_proxies_traces_and_clients_and_make_the_service_graph(
    tmp_path: Path, store: Store
) -> None:
    times = [NOW - timedelta(minutes=minutes) for minutes in range(20, -1, -1)]
    backfill(tmp_path, {one: [(at, float(i)) for i, at in enumerate(times)] for one in COUNTERS})
    with prometheus(tmp_path, {}) as url:
        source = PrometheusSource(
            PrometheusApi(url),
            tenant=store.tenant,
            clock=CLOCK,
            selection=Selection(
                plan=GoldenSignals(read_exporters(), budget=100), since=timedelta(minutes=15), step_s=300
            ),
        )
        (*_, last) = source.batches(None)
        platform = platform_of(store, clock=CLOCK)
        ingest(platform, source)
    assert last.calls == CALLS
    assert graph_of(platform, store.series.find()) == CALLS
