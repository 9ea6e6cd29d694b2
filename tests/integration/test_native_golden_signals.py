"""Golden signals of native histograms: as a real Prometheus computes them, and as we do when they are pushed."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from fakes.platform import platform_of
from fakes.remote_write import T0
from fakes.remote_write_2 import Sent, body_1
from servers.prometheus import missing_programs, prometheus

from core.arrays import FloatArray
from core.batch import Batch
from core.clock import FixedClock
from core.ports import MetricSource
from core.settings import Settings
from pipelines.collect.stage import Staging
from pipelines.common.pushed_stores import pushed_stores
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.peers import PrometheusPeers
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.pushed_signals import PushedSignals
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

MINUTES, EVERY_S, SCHEMA, AROUND = 32, 15, 3, 1e-128
NOW = T0 + timedelta(minutes=MINUTES, seconds=40)
METRIC = "http_request_duration_seconds"
TYPES = {METRIC: "histogram"}
#: Requests of a pod between two scrapes, by their code.
PER_SCRAPE = {"200": 60, "503": 3}
PODS = ("a", "b", "c", "d")


def latencies(pod: str, code: str) -> FloatArray:
    """The seconds of all requests, (scrapes, requests)."""
    rng = np.random.default_rng([PODS.index(pod), int(code)])
    return rng.lognormal(-2.0, 0.6, (MINUTES * 60 // EVERY_S, PER_SCRAPE[code]))


def histograms(pod: str, code: str) -> list[dict[str, Any]]:
    """What a client library has counted at each scrape."""
    counted: dict[int, int] = {}
    found = []
    seconds = latencies(pod, code)
    for scrape, new in enumerate(seconds):
        for index in np.ceil(np.log2(new) * 2**SCHEMA).astype(int).tolist():
            counted[index] = counted.get(index, 0) + 1
        indexes = sorted(counted)
        offsets = [
            indexes[0],
            *(after - before - 1 for before, after in pairwise(indexes)),
        ]
        counts = [counted[index] for index in indexes]
        found.append(
            {
                "at_s": float(scrape * EVERY_S),
                "count_int": sum(counts),
                "sum": float(seconds[: scrape + 1].sum()),
                "schema": SCHEMA,
                "zero_threshold": AROUND,
                "positive_spans": [{"offset": offset, "length": 1} for offset in offsets],
                "positive_deltas": np.diff(counts, prepend=0).tolist(),
            }
        )
    return found


def body() -> bytes:
    return body_1(
        [
            Sent(
                labels={"__name__": METRIC, "job": "shop", "instance": f"{pod}:80", "code": code},
                histograms=histograms(pod, code),
            )
            for pod in PODS
            for code in PER_SCRAPE
        ]
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusApi]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with prometheus(folder, {}, receives=True, features=["native-histograms"]) as url:
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        httpx.post(f"{url}/api/v1/write", content=body(), headers=headers).raise_for_status()
        found = PrometheusApi(url)
        with found.connected():
            yield found


def plan() -> GoldenSignals:
    return GoldenSignals(read_exporters(), budget=1_000)


def values(source: MetricSource) -> dict[str, FloatArray]:
    """Name of a signal -> its values from the tenth minute to the thirtieth."""
    batches: list[Batch] = list(source.batches(None))
    names = {one.series_id: one.name for batch in batches for one in batch.series}
    samples = pl.concat([batch.samples for batch in batches if batch.samples is not None]).sort("ts")
    assert [batch.rejected.height for batch in batches if batch.rejected is not None] == [0] * len(batches)
    inside = samples.filter(pl.col("ts").is_between(T0 + timedelta(minutes=10), T0 + timedelta(minutes=30)))
    return {
        names[int(key)]: mine["value"].to_numpy()
        for (key,), mine in inside.group_by("series_id", maintain_order=True)
    }


def pulled(api: PrometheusApi) -> PrometheusSource:
    selection = Selection(plan=plan(), since=timedelta(minutes=MINUTES + 1), step_s=300)
    return PrometheusSource(
        api, tenant="acme", clock=FixedClock(NOW), selection=selection, known_types=lambda: TYPES
    )


def test_a_pull_gives_traffic_errors_and_latency(api: PrometheusApi) -> None:
    found = values(pulled(api))
    requests = len(PODS) * sum(PER_SCRAPE.values()) / EVERY_S
    failed = PER_SCRAPE["503"] / sum(PER_SCRAPE.values())
    assert found["shop/http_requests_per_second"] == pytest.approx([requests] * 5, rel=1e-9)
    assert found["shop/http_request_error_ratio"] == pytest.approx([failed] * 5, rel=1e-9)
    window = 300 // EVERY_S
    every = np.concatenate([latencies(pod, code) for pod in PODS for code in PER_SCRAPE], axis=1)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        true = [
            np.quantile(every[end - window : end], share) for end in range(2 * window, 7 * window, window)
        ]
        # Buckets of schema 3 are 9 % wide.
        assert found[f"shop/http_request_duration_{name}_seconds"] == pytest.approx(true, rel=0.09)
    assert len(found) == 5


def test_a_push_gives_the_same(api: PrometheusApi, pool: Pool) -> None:
    store = Store(pool, "native_golden_signals")
    platform = platform_of(store, FixedClock(NOW), settings=Settings(_env_file=None, golden_signals=True))
    receiver = RemoteWriteReceiver(store.tenant)
    kept = Staging(platform).store(receiver.name, receiver.decode(body()))
    assert (kept.report.rejected, kept.written.samples) == (0, 0)
    assert kept.written.histograms == len(PODS) * len(PER_SCRAPE) * MINUTES * 60 // EVERY_S
    stores = pushed_stores(platform)
    assert stores is not None
    ours = values(
        PushedSignals(
            stores, plan(), tenant=store.tenant, clock=FixedClock(NOW), step_s=300, known_types=lambda: TYPES
        )
    )
    theirs = values(pulled(api))
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        # Buckets of half an octave, each interpolated on a straight line, against those of an eighth.
        tolerance = 0.1 if "duration" in name else 1e-9
        assert ours[name] == pytest.approx(expected, rel=tolerance), name


def test_replicas_are_compared(api: PrometheusApi, monkeypatch: pytest.MonkeyPatch) -> None:
    own = PrometheusApi(api.place)
    monkeypatch.setattr(own, "types", lambda: TYPES)  # what was pushed to a Prometheus has no metadata in it
    read = PrometheusPeers(own, plan(), tenant="acme", step_s=300).read(NOW)
    assert not read.notes
    groups = {group.recipe.signal: len(group.replicas) for group in read.groups}
    assert groups == dict.fromkeys(
        ("http_requests_per_second", "http_request_error_ratio", "http_request_duration_p90_seconds"),
        len(PODS),
    )
