"""Replicas and sizes of pushed samples: the groups, values and events of a real Prometheus with these samples."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import numpy as np
import pytest
from fakes.platform import platform_of
from fakes.remote_write import T0, compressed, time_series
from fakes.replicas import NOW, Samples, fleet, resized_disk
from servers.prometheus import missing_programs, prometheus

from core.clock import FixedClock
from core.domain import Event
from core.pushed import PushedRepository
from core.resizes import is_resize_of
from core.settings import Settings
from models.forecast.resizes import measure_resize
from models.peers.groups import PeerGroup
from pipelines.collect.pull import pull
from pipelines.collect.stage import Staging
from pipelines.common.pushed_stores import pushed_stores
from pipelines.common.tenant_platform import Platform
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.peers import PeerSource, PrometheusPeers
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.pushed_peers import PushedPeers
from pipelines.sources.pushed_signals import PushedSignals
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.compare_replicas import compare_replicas

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

SETTINGS = Settings(_env_file=None, golden_signals=True)
#: A resize is known only if the six hours before it are.
HOURS, RESIZED_H = 15, 3
#: The newest values are computed when samples of a minute later are there.
LAG_S = 130
HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}


def requests(samples: Samples) -> Iterator[tuple[datetime, bytes]]:
    """One request of remote_write for each hour, and the time when it is sent."""
    labels = {series: labels_of(series) for series in samples}
    for hour in range(-HOURS, 1):
        end = NOW + timedelta(hours=hour, seconds=LAG_S)
        start = end - timedelta(hours=1)
        yield (
            end,
            compressed(
                *(
                    time_series(
                        labels[series],
                        [((at - T0).total_seconds(), value) for at, value in history if start <= at < end],
                    )
                    for series, history in samples.items()
                )
            ),
        )


def labels_of(series: str) -> dict[str, str]:
    return {"__name__": series.partition("{")[0], **dict(re.findall(r'(\w+)="([^"]*)"', series))}


@dataclass(frozen=True)
class Both:
    """The same samples in a Prometheus and pushed to us."""

    url: str
    platform: Platform


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("pushed_replicas")
    store = Store(pool, "pushed_replicas")
    with prometheus(folder, {"other": "127.0.0.1:1"}, scrape_s=120, receives=True) as url:
        for at, body in requests(fleet() | resized_disk(RESIZED_H)):
            httpx.post(f"{url}/api/v1/write", content=body, headers=HEADERS).raise_for_status()
            # Each hour a new process.
            platform = platform_of(store, FixedClock(at), settings=SETTINGS)
            receiver = RemoteWriteReceiver(store.tenant)
            assert Staging(platform).store(receiver.name, receiver.decode(body)).report.rejected == 0
            assert pull(platform) is not None
        _wait_for_scrape_interval(url)
        yield Both(url, platform)


def _wait_for_scrape_interval(url: str) -> None:
    """The window of rates follows the targets, which Prometheus knows some seconds after its start."""
    until = time.monotonic() + 30
    api = PrometheusApi(url)
    with api.connected():
        while api.longest_scrape_interval_s() is None:
            assert time.monotonic() < until, "Prometheus has no targets"
            time.sleep(0.1)


def signals() -> GoldenSignals:
    return GoldenSignals(read_exporters(), budget=1_000)


def test_the_groups_and_values_of_pushed_replicas_are_those_of_a_prometheus(both: Both) -> None:
    store = both.platform.store
    stores = pushed_stores(both.platform)
    assert stores is not None
    pulled = PrometheusPeers(PrometheusApi(both.url), signals(), tenant=store.tenant)
    pushed = PushedPeers(stores, signals(), tenant=store.tenant)
    theirs, ours = groups_of(pulled), groups_of(pushed)
    assert ours.keys() == theirs.keys()
    assert len(ours) >= 4
    for key, group in theirs.items():
        order = [ours[key].replicas.index(one) for one in group.replicas]
        assert ours[key].times_s.tolist() == group.times_s.tolist()
        np.testing.assert_allclose(ours[key].recent[order], group.recent, rtol=1e-9, err_msg=str(key))
        np.testing.assert_allclose(ours[key].past[order], group.past, rtol=1e-9, err_msg=str(key))
    assert sum(np.isfinite(one.past).sum() for one in ours.values()) > 200


def groups_of(source: PeerSource) -> dict[tuple[str, frozenset[str]], PeerGroup]:
    """By signal and names of the replicas."""
    reading = source.read(NOW + timedelta(seconds=LAG_S))
    assert (reading.unread, reading.notes) == (frozenset(), ())
    found = {(one.recipe.signal, frozenset(map(str, one.replicas))): one for one in reading.groups}
    assert len(found) == len(reading.groups)
    return found


def test_a_pushed_replica_that_differs_from_its_peers_becomes_a_finding_with_its_name(both: Both) -> None:
    report = compare_replicas(both.platform)
    assert report is not None
    assert (report.outliers, report.new, report.notes) == (2, 2, ())
    found = {one.labels.get("pod", one.service): one for one in both.platform.store.signals.find()}
    assert set(found) == {"shop-7d9f-slow", "app3"}
    assert "of pod shop-7d9f-slow at 4.2 s, its 6 peers at 223 ms" in found["shop-7d9f-slow"].summary
    again = compare_replicas(both.platform)
    assert again is not None
    assert (again.outliers, again.new) == (2, 0)


def test_a_resized_disk_in_pushed_samples_is_an_event_that_explains_its_step(both: Both) -> None:
    store = both.platform.store
    events = store.events.between(NOW - timedelta(hours=HOURS), NOW)
    assert events == pulled_events(both)
    (event,) = events
    assert event.title == "app1 /data filesystem_used_ratio: size from 100 GiB to 200 GiB"
    assert event.at == NOW - timedelta(hours=RESIZED_H)
    (used,) = [one for one in store.series.find() if is_resize_of(event, one) and one.metric == event.metric]
    step = measure_resize(used, event.at, store.samples.read(NOW - timedelta(hours=HOURS), NOW))
    assert step is not None
    assert step.scale == pytest.approx(0.5)


def pulled_events(both: Both) -> list[Event]:
    source = PrometheusSource(
        PrometheusApi(both.url),
        tenant=both.platform.tenant,
        clock=both.platform.clock,
        selection=Selection(plan=signals(), since=timedelta(hours=HOURS)),
    )
    return [event for batch in source.batches(None) for event in batch.events]


def test_what_is_kept_of_pushed_samples_is_bounded(both: Both) -> None:
    store = both.platform.store
    kept = [one.extent() for one in (store.pushed, store.pushed_sizes, store.pushed_replicas)]
    hours = [(one.last - one.first) / timedelta(hours=1) for one in kept if one is not None]
    assert hours[0] < 3
    assert hours[1] < 9
    assert hours[2] > HOURS - 2


def test_what_is_computed_again_after_a_crash_is_kept_once(both: Both) -> None:
    stores = pushed_stores(both.platform)
    assert stores is not None
    before = [counts_by_time(one) for one in (stores.sizes, stores.replicas)]
    source = PushedSignals(
        stores, signals(), tenant=both.platform.tenant, clock=both.platform.clock, step_s=300
    )
    again = list(source.batches(str(int((NOW - timedelta(minutes=30)).timestamp()))))
    assert again
    assert [counts_by_time(one) for one in (stores.sizes, stores.replicas)] == before


def counts_by_time(kept: PushedRepository) -> dict[int, int]:
    """How many samples each of the last times has."""
    samples = kept.read(NOW - timedelta(hours=1), NOW)
    times, counts = np.unique(samples.times_ms, return_counts=True)
    return dict(zip(times.tolist(), counts.tolist(), strict=True))
