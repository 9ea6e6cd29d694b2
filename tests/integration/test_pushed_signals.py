"""Golden signals of pushed samples equal those that a real Prometheus computes from the same samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from fakes.platform import platform_of
from fakes.promql_values import compared_values
from fakes.raw_histories import History, histories, requests_of
from fakes.remote_write import T0
from servers.prometheus import missing_programs, prometheus

from core.arrays import FloatArray
from core.batch import Batch
from core.clock import FixedClock
from core.settings import Settings
from models.metrics.conventions import request_recipes
from models.metrics.evaluate import Evaluator
from models.metrics.plain import plain_recipes
from pipelines.collect.stage import Staging
from pipelines.common.pushed_stores import pushed_stores
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.pushed_signals import PushedSignals
from pipelines.sources.pushed_span import raw_samples, stored_samples
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

MINUTES = 32
#: Windows that hold many scrapes, and so few that gaps matter.
WINDOWS_S = (300, 47)
STEP_S = 30
NOW = T0 + timedelta(minutes=MINUTES, seconds=40)
BUDGET = 5_000
SETTINGS = Settings(_env_file=None, golden_signals=True)
RECIPES = [
    *(recipe for exporter in read_exporters() for recipe in exporter.recipes),
    *request_recipes(
        ["http_request_duration_seconds_bucket", "http_request_duration_seconds_count"],
        {"http_request_duration_seconds_count": "code"},
    ),
    *plain_recipes(["orders_total", "queue_depth"], {}),
]
COUNTERS = {term.metric for recipe in RECIPES for term in recipe.terms.values() if term.rate}


@dataclass(frozen=True)
class Pushed:
    """The same samples in a Prometheus and in our store."""

    api: PrometheusApi
    store: Store


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Iterator[Pushed]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    store = Store(pool, "pushed_signals")
    staging, receiver = Staging(platform_of(store, FixedClock(NOW))), RemoteWriteReceiver(store.tenant)
    found: list[History] = [one for one in histories(MINUTES, COUNTERS) if one[1]]
    with prometheus(folder, {}, receives=True) as url:
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        for body in requests_of(found):
            httpx.post(f"{url}/api/v1/write", content=body, headers=headers).raise_for_status()
            assert staging.store(receiver.name, receiver.decode(body)).report.rejected == 0
        api = PrometheusApi(url)
        with api.connected():
            yield Pushed(api, store)


@pytest.mark.parametrize("window_s", WINDOWS_S)
def test_every_recipe_equals_that_of_prometheus(pushed: Pushed, window_s: int) -> None:
    start, end = T0 + timedelta(minutes=10), T0 + timedelta(minutes=MINUTES + 3)
    times: FloatArray = np.arange(start.timestamp(), end.timestamp() + 1, STEP_S).astype(np.float64)
    samples = raw_samples(stored_samples(pushed.store.pushed, start.timestamp() - 300, end.timestamp()))
    evaluator = Evaluator(samples=samples, times_ms=(times * 1000).astype(np.int64), window_s=window_s)
    compared = [compared_values(pushed.api, evaluator, recipe, times, STEP_S) for recipe in RECIPES]
    assert sum(count > 0 for count in compared) > 0.95 * len(RECIPES)
    assert sum(compared) > 14_000


def test_a_pull_and_a_push_give_the_same_series_and_values(pushed: Pushed) -> None:
    pulled = PrometheusSource(
        pushed.api,
        tenant=pushed.store.tenant,
        clock=FixedClock(NOW),
        selection=Selection(
            plan=GoldenSignals(read_exporters(), budget=BUDGET),
            since=timedelta(minutes=MINUTES + 1),
            step_s=300,
        ),
    )
    stores = pushed_stores(platform_of(pushed.store, settings=SETTINGS))
    assert stores is not None
    ours = PushedSignals(
        stores,
        GoldenSignals(read_exporters(), budget=BUDGET),
        tenant=pushed.store.tenant,
        clock=FixedClock(NOW),
        step_s=300,
    )
    batches = list(pulled.batches(None)), list(ours.batches(None))
    theirs, found = map(read, batches)
    assert found.select("name", "ts").equals(theirs.select("name", "ts"))
    np.testing.assert_allclose(found["value"], theirs["value"], rtol=1e-9, atol=1e-12)
    assert found["name"].n_unique() > 250
    events_of_pull, events_of_push = (
        {event.event_id for batch in one for event in batch.events if event.at <= T0 + timedelta(minutes=30)}
        for one in batches
    )
    assert events_of_push == events_of_pull != set()
    calls_of_pull, calls_of_push = (one[-1].calls for one in batches)
    assert calls_of_pull == calls_of_push != ()


def read(batches: Sequence[Batch]) -> pl.DataFrame:
    """Name of the series, time and value, of the times that both sources have."""
    names = {one.series_id: one.name for batch in batches for one in batch.series}
    samples = pl.concat([batch.samples for batch in batches if batch.samples is not None])
    named = samples.with_columns(name=pl.col("series_id").replace_strict(names, return_dtype=pl.String))
    return named.filter(pl.col("ts") <= T0 + timedelta(minutes=30)).sort("name", "ts")
