"""Replicas of a real Prometheus: an outlier is found, named and ended; pod churn, canaries and autoscaling are not."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.platform import platform_of
from fakes.replicas import NOW, fleet
from servers.prometheus import backfill, missing_programs, prometheus

from core.clock import FixedClock
from core.domain import Signal
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.peers import PrometheusPeers
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.recipe_files import read_exporters
from pipelines.stores.store import Store
from pipelines.watch.compare_replicas import ReplicaReport, compare_replicas

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

LAG = timedelta(seconds=35)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("replicas")
    backfill(folder, fleet())
    with prometheus(folder, {}) as address:
        yield address


@pytest.fixture
def watched(store: Store, url: str) -> "Watched":
    return Watched(store, url)


@dataclass(frozen=True)
class Watched:
    """Watch cycles of one tenant on that Prometheus."""

    store: Store
    url: str

    def compare(self, hours: float) -> ReplicaReport:
        """Compare replicas so many hours after `NOW`, from a new process as it were."""
        source = PrometheusPeers(
            PrometheusApi(self.url, timeout_s=20),
            GoldenSignals(read_exporters(), budget=1_000),
            tenant=self.store.tenant,
        )
        clock = FixedClock(NOW + timedelta(hours=hours) + LAG)
        report = compare_replicas(platform_of(self.store, clock), source=source)
        assert report is not None
        return report

    @property
    def signals(self) -> dict[str, Signal]:
        found = self.store.signals.find()
        return {one.labels.get("pod", one.service): one for one in found}


def test_only_the_slow_pod_and_the_host_without_traffic_are_found_and_they_end(watched: Watched) -> None:
    assert watched.compare(-0.5).outliers == 0
    report = watched.compare(0)
    assert (report.outliers, report.new, report.notes) == (2, 2, ())
    assert watched.compare(0).new == 0
    found = watched.signals
    assert set(found) == {"shop-7d9f-slow", "app3"}
    slow, silent = found["shop-7d9f-slow"], found["app3"]
    assert slow.summary == (
        "shop: http_request_duration_p90_seconds of pod shop-7d9f-slow at 4.2 s, its 6 peers at 223 ms, for 11 min"
    )
    assert "app3: network_receive_bytes_per_second at " in silent.summary
    assert (slow.labels["namespace"], slow.suppressed_by, silent.suppressed_by) == ("web", None, None)
    watched.compare(11 / 12)
    ended = watched.signals["shop-7d9f-slow"]
    assert ended.ended_at is not None
    assert NOW + timedelta(minutes=20) <= ended.ended_at <= NOW + timedelta(minutes=35)
    assert watched.signals["app3"].ended_at is None
    assert len(watched.signals) == 2


def test_a_pod_that_disappears_ends_its_finding_and_is_no_silence(watched: Watched) -> None:
    watched.compare(0)
    watched.compare(4)
    assert all(one.ended_at is not None for one in watched.signals.values())
    assert {one.kind for one in watched.signals.values()} == {"anomaly"}
    assert watched.store.series.find() == []
