"""Pulls from servers that respond otherwise than Prometheus does: the cases of public bug reports."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.platform import platform_of

from core.clock import FixedClock
from core.domain import SeriesKind
from core.errors import InputError, UnavailableError
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.processes.server_process import free_port
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.stores.store import Store

SERVER = Path(__file__).parents[1] / "cases" / "servers" / "prometheus_that_answers_otherwise.py"
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
HOURS = 23
STEP_S = 300
#: A whole pull: each time once, both ends included.
POINTS = HOURS * 3600 // STEP_S + 1


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                httpx.get(f"{url}/plain/api/v1/metadata", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def pull(url: str, store: Store, **api: Any) -> IngestReport:
    source = PrometheusSource(
        PrometheusApi(url, **api),
        tenant=store.tenant,
        clock=FixedClock(NOW),
        selection=Selection(since=timedelta(hours=HOURS, seconds=30), step_s=STEP_S),
        known_types=store.metric_types.declared,
    )
    return ingest(platform_of(store, FixedClock(NOW)), source)


@pytest.mark.parametrize(
    "case",
    ["plain", "mimirlen", "chunks", "vmsamples", "promsamples", "timeout", "nometa", "notargets5xx"],
)
def test_limits_and_missing_calls_cost_no_sample(server: str, store: Store, case: str) -> None:
    report = pull(f"{server}/{case}", store, sleep=lambda seconds: None)
    assert (report.inserted, report.rejected) == (POINTS, 0)
    (series,) = store.series.find()
    assert (series.service, series.metric, series.kind) == ("shop", "queue_depth", SeriesKind.GAUGE)


def test_a_server_that_is_busy_gets_the_next_call_when_it_asked_for_it(server: str, store: Store) -> None:
    waits: list[float] = []
    report = pull(f"{server}/all429", store, sleep=waits.append)
    assert report.inserted == POINTS
    assert waits, "the server answered 429"
    assert min(waits) > 5


def test_a_rate_limit_is_waited_for_in_real_time(server: str, store: Store) -> None:
    started = time.monotonic()
    assert pull(f"{server}/rate429", store).inserted == POINTS
    assert 5.5 < time.monotonic() - started < 60


def test_native_histograms_cost_no_other_metric(server: str, store: Store) -> None:
    report = pull(f"{server}/native", store)
    assert {one.metric for one in store.series.find()} == {"queue_depth", "zz_last"}
    assert (report.inserted, report.rejected) == (2 * POINTS, 1)
    (letter,) = store.dead_letters.list()
    assert letter.source.startswith("prometheus:")
    assert "native histograms" in letter.reason
    assert "rpc_seconds" in letter.row


def test_metrics_with_any_unicode_name_are_pulled(server: str, store: Store) -> None:
    report = pull(f"{server}/utf8", store)
    assert {one.metric for one in store.series.find()} == {"queue_depth", "http.server.größe", "emoji_😀"}
    assert report.rejected == 0


def test_a_label_that_cannot_be_stored_is_a_dead_letter(server: str, store: Store) -> None:
    report = pull(f"{server}/labels", store)
    assert (report.inserted, report.rejected) == (0, 1)
    (letter,) = store.dead_letters.list()
    assert "NUL" in letter.reason


def test_values_that_are_no_finite_number_are_left_out_or_dead_letters(server: str, store: Store) -> None:
    report = pull(f"{server}/special", store)
    assert report.inserted + report.rejected == POINTS - len(range(0, POINTS, 7))
    assert report.rejected == len(range(1, POINTS, 7)) + len(range(2, POINTS, 7))


@pytest.mark.parametrize("case", ["empty", "noresult"])
def test_nothing_to_pull_is_no_error(server: str, store: Store, case: str) -> None:
    report = pull(f"{server}/{case}", store)
    assert report == IngestReport(notes=report.notes)
    assert "no series was found" in report.notes[0]


def test_many_series_of_one_metric_are_pulled(server: str, store: Store) -> None:
    assert pull(f"{server}/many", store).inserted == 20_000


def test_a_login_page_is_shown_in_the_error(server: str, store: Store) -> None:
    with pytest.raises(UnavailableError, match=r"not a Prometheus.*login"):
        pull(f"{server}/html", store)
    assert store.series.find() == []


def test_a_type_that_was_declared_holds_when_the_server_declares_none(server: str, store: Store) -> None:
    store.metric_types.declare({"queue_depth": "counter"})
    pull(f"{server}/nometa", store)
    assert store.series.find()[0].kind is SeriesKind.COUNTER


def test_the_reason_of_a_refusal_is_shown(server: str) -> None:
    api = PrometheusApi(f"{server}/nometa")
    with api.connected(), pytest.raises(InputError, match="404 page not found"):
        api._call("GET", "/api/v1/metadata", [])
