"""A pull from a real Prometheus, with node_exporter and with a history whose truth is known."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from fakes.platform import platform_of
from pydantic import SecretStr
from servers.prometheus import (
    backfill,
    missing_programs,
    node_exporter,
    prometheus,
)

from core.batch import Batch
from core.clock import Clock, FixedClock, SystemClock
from core.domain import Role, Series, SeriesKind
from core.errors import InputError, UnavailableError
from core.settings import Settings
from pipelines.collect.ingest import ingest
from pipelines.processes.server_process import free_port
from pipelines.sources.configured import configured_sources
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import Login, PrometheusApi
from pipelines.stores.store import Store

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S = 15
HOURS = 60
#: Where the counter of the history starts again from 0.
RESET_AT = 5000


def history() -> dict[str, list[tuple[datetime, float]]]:
    """60 h at 15 s: more than the 11,000 points that one answer may have."""
    points = range(HOURS * 3600 // STEP_S)
    times = [T0 + timedelta(seconds=STEP_S * n) for n in points]
    grown = [30.0 * (n if n < RESET_AT else n - RESET_AT) for n in points]
    return {
        'jobs_total{service="worker",queue="mail"}': list(zip(times, grown, strict=True)),
        'queue_depth{job="worker",queue="mail"}': [(t, float(n % 50)) for n, t in enumerate(times)],
        'broken_ratio{job="worker"}': [(t, float("nan")) for t in times],
    }


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has the history and scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    backfill(folder, history())
    with prometheus(folder, {}) as url:
        yield url


SELECTION = Selection(since=timedelta(hours=HOURS), step_s=STEP_S)


def source_of(url: str, selection: Selection = SELECTION, clock: Clock | None = None) -> PrometheusSource:
    return PrometheusSource(
        PrometheusApi(url, timeout_s=20),
        tenant="acme",
        clock=clock or FixedClock(T0 + timedelta(hours=HOURS)),
        selection=selection,
    )


def samples_of(batches: list[Batch], series: Series) -> pl.DataFrame:
    frames = [batch.samples for batch in batches if batch.samples is not None]
    return pl.concat(frames).filter(pl.col("series_id") == series.series_id)


def series_of(batches: list[Batch]) -> dict[str, Series]:
    return {series.metric: series for batch in batches for series in batch.series}


def test_a_long_history_comes_in_chunks_with_rates_that_know_of_the_reset(past: str) -> None:
    batches = list(source_of(past).batches(None))
    assert len([batch for batch in batches if batch.cursor is not None]) > 1
    found = series_of(batches)
    jobs, depth = found["jobs_total"], found["queue_depth"]
    assert (jobs.service, jobs.kind, jobs.role, jobs.step_s) == (
        "worker",
        SeriesKind.COUNTER,
        Role.SATURATION,
        STEP_S,
    )
    assert jobs.labels == {"queue": "mail"}
    assert (depth.service, depth.kind) == ("worker", SeriesKind.GAUGE)
    assert "broken_ratio" not in found
    depths = samples_of(batches, depth)
    assert depths["ts"].is_sorted()
    assert depths["ts"].n_unique() == depths.height > 11_000
    assert depths["value"].max() == 49.0
    rates = samples_of(batches, jobs)["value"]
    assert rates.median() == pytest.approx(2.0)
    assert (rates >= 0).all()
    assert rates.max() == pytest.approx(2.0)


def test_a_pull_goes_on_where_the_last_one_ended(past: str) -> None:
    whole = list(source_of(past).batches(None))
    early = FixedClock(T0 + timedelta(hours=HOURS / 2))
    first = list(source_of(past, replace(SELECTION, since=timedelta(hours=HOURS / 2)), early).batches(None))
    rest = list(source_of(past).batches(first[-1].cursor))
    depth = series_of(whole)["queue_depth"]
    assert samples_of([*first, *rest], depth).equals(samples_of(whole, depth))
    assert list(source_of(past).batches(rest[-1].cursor)) == []


def test_a_selector_takes_only_what_it_matches(past: str) -> None:
    batches = list(source_of(past, replace(SELECTION, match=('{job="worker"}',))).batches(None))
    assert set(series_of(batches)) == {"queue_depth"}
    batches = list(source_of(past, replace(SELECTION, match=("jobs_total",))).batches(None))
    assert set(series_of(batches)) == {"jobs_total"}


def test_sidecar_files_add_what_prometheus_does_not_know(past: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text("metric,slo_threshold,role\nqueue_depth,500,saturation\n")
    (tmp_path / "events.csv").write_text(f"service,kind,at\nshop,deploy,{T0.isoformat()}\nshop,wedding,now\n")
    settings = Settings(_env_file=None, prometheus_url=past, sidecars_dir=tmp_path)
    clock = FixedClock(T0 + timedelta(days=1))
    (source,) = configured_sources(settings, store.tenant, clock)
    report = ingest(platform_of(store, clock), source)
    assert (report.events, report.rejected) == (1, 1)
    (depth,) = store.series.find(metric="queue_depth")
    assert (depth.slo_threshold, depth.role) == (500.0, Role.SATURATION)
    missing = settings.model_copy(update={"sidecars_dir": tmp_path / "nothing"})
    with pytest.raises(InputError, match="no folder"):
        configured_sources(missing, store.tenant, clock)


def test_a_selector_that_makes_no_sense_is_an_input_error(past: str) -> None:
    with pytest.raises(InputError, match="parse error"):
        list(source_of(past, replace(SELECTION, match=("{job=",))).batches(None))


def test_a_query_that_is_too_much_is_halved(past: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.prometheus.MAX_POINTS", 50_000)
    monkeypatch.setattr("pipelines.sources.prometheus.MAX_CHUNK_S", 10**9)
    batches = list(source_of(past).batches(None))
    depth = series_of(batches)["queue_depth"]
    assert samples_of(batches, depth)["ts"].n_unique() > 11_000


def test_a_prometheus_that_is_down_is_unavailable_and_no_secret_is_told() -> None:
    url = f"http://ann:hunter2@127.0.0.1:{free_port()}"
    api = PrometheusApi(url, login=Login(bearer_token=SecretStr("tok3n")), sleep=lambda seconds: None)
    source = PrometheusSource(api, tenant="acme", clock=SystemClock())
    with pytest.raises(UnavailableError, match="does not answer") as error:
        list(source.batches(None))
    for text in (str(error.value), repr(api), source.name):
        assert "hunter2" not in text
        assert "tok3n" not in text


def test_node_exporter_is_pulled_into_the_store_and_again_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    with node_exporter(tmp_path) as exporter, prometheus(tmp_path, {"node": exporter}) as url:
        settings = Settings(
            _env_file=None,
            prometheus_url=url,
            prometheus_step_s=1,
            prometheus_match=('{job="node"}',),
            prometheus_since_h=0.1,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            # as if seen a while later, so that what is scraped now is old enough to be pulled
            clock = FixedClock(datetime.now(UTC) + timedelta(seconds=29))
            (source,) = configured_sources(settings, store.tenant, clock)
            report = ingest(platform_of(store, clock), source)
            found = {series.metric for series in store.series.find(service="node")}
            if {"node_load1", "node_cpu_seconds_total"} <= found:
                break
            time.sleep(1)
        assert report.rejected == 0
        cpu = store.series.find(metric="node_cpu_seconds_total")
        assert {series.kind for series in cpu} == {SeriesKind.COUNTER}
        assert {series.unit for series in cpu} == {"seconds/s"}
        rates = store.samples.read(
            datetime.now(UTC) - timedelta(hours=1),
            datetime.now(UTC) + timedelta(hours=1),
            [series.series_id for series in cpu],
        )
        assert rates["value"].is_between(0, 2).all()
        before = store.samples.span()
        assert source is not None
        again = ingest(platform_of(store, clock), source)
        assert (again.inserted, again.rejected) == (0, 0)
        assert store.samples.span() == before
