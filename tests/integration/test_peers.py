"""Replicas of a real Prometheus: an outlier is found, named and ended; pod churn, canaries and autoscaling are not."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fakes.platform import platform_of
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

#: A multiple of the step; a cycle runs a little later.
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LAG = timedelta(seconds=35)
SCRAPE_S, BACK_H = 120, 30
RATE = 20.0
BUCKETS = (0.1, 0.25, 1.0, 5.0)

Samples = dict[str, list[tuple[datetime, float]]]


@dataclass(frozen=True)
class Pod:
    """A pod that serves requests, in hours before `NOW` (negative = after).

    Attributes:
        slow_from, slow_to: its requests take ten times as long.
    """

    name: str
    born: float = float(BACK_H)
    died: float = -1.0
    share: float = 1.0
    slow_from: float = -9.0
    slow_to: float = -9.0

    def samples(self) -> Samples:
        hours = np.arange(self.born, self.died - 1e-9, -SCRAPE_S / 3600)
        rng = np.random.default_rng(sum(self.name.encode()))
        rate = RATE * self.share * (1 + 0.5 * np.sin(2 * np.pi * hours / 24))
        is_slow = (hours <= self.slow_from) & (hours > self.slow_to)
        median = np.where(is_slow, 1.0, 0.1)
        found = {}
        requests = rng.poisson(rate * SCRAPE_S)
        for le in (*BUCKETS, np.inf):
            share = 1.0 if np.isinf(le) else 1 - 0.5 ** ((le / median) ** 2)
            found[f'_bucket{{le="{le:g}",'.replace("inf", "+Inf")] = np.round(requests * share)
        found["_count{"] = requests
        labels = f'code="200",instance="{self.name}:80",job="shop",namespace="web",pod="{self.name}"}}'
        times = [NOW - timedelta(hours=float(h)) for h in hours]
        return {
            f"http_request_duration_seconds{start}{labels}": list(
                zip(times, np.cumsum(counts).astype(float).tolist(), strict=True)
            )
            for start, counts in found.items()
        }


def hosts() -> Samples:
    """Five hosts of one pool; `app3` receives nothing since 20 min. Each has its own hardware."""
    hours = np.arange(BACK_H, -1.0, -SCRAPE_S / 3600)
    times = [NOW - timedelta(hours=float(h)) for h in hours]
    found = {}
    for number in range(1, 6):
        rng = np.random.default_rng(number)
        received = 1e6 * number * (1 + 0.1 * rng.normal(size=len(hours)))
        if number == 3:
            received[hours < 1 / 3] = 100.0
        labels = f'instance="app{number}:9100",job="node"'
        counted = np.cumsum(np.clip(received, 0, None) * SCRAPE_S)
        found[f'node_network_receive_bytes_total{{device="eth0",{labels}}}'] = counted
        found[f"node_boot_time_seconds{{{labels}}}"] = np.full(len(hours), 1.7e9)
    return {name: list(zip(times, values.tolist(), strict=True)) for name, values in found.items()}


#: Six pods of which one is slow for a while; pods that a deploy replaced; a canary; pods that autoscaling added.
PODS = (
    *(Pod(f"shop-7d9f-a{n}") for n in range(4)),
    Pod("shop-7d9f-slow", slow_from=0.26, slow_to=-0.4),
    *(Pod(f"shop-5c4b-o{n}", died=5.0 - n) for n in range(3)),
    Pod("shop-canary-66ab-c1", born=1.5, share=0.05),
    *(Pod(f"shop-7d9f-s{n}", born=2.0 - n / 2, died=-0.5) for n in range(2)),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("replicas")
    backfill(folder, {key: values for pod in PODS for key, values in pod.samples().items()} | hosts())
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
