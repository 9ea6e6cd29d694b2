"""OTLP into a real database: rates survive restarts, and what is bad costs nothing else."""

from datetime import timedelta

import pytest
from fakes.otlp import CUMULATIVE, DELTA, gauge, histogram, ns, number, request, resource_metrics, total
from fakes.platform import platform_of
from fakes.remote_write import T0
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, ResourceMetrics

from core.clock import FixedClock
from core.domain import SeriesKind
from pipelines.collect.ingest import IngestReport
from pipelines.collect.push import store_pushed
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.otlp_messages import Protobuf
from pipelines.stores.store import Store

NOW = FixedClock(T0 + timedelta(days=1))


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, NOW)


def write(platform: Platform, *parts: Metric | ResourceMetrics) -> IngestReport:
    """A request to a service that has just been started: it remembers nothing of the requests before."""
    receiver = OtlpReceiver(platform.tenant)
    decoded = receiver.decode(request(*parts).SerializeToString(), Protobuf())
    return store_pushed(platform, receiver, decoded, lambda batch: batch)


def stored(store: Store, metric: str) -> dict[int, float]:
    """Seconds after `T0` -> value."""
    (series,) = store.series.find(metric=metric)
    frame = store.samples.read(T0, T0 + timedelta(days=1), [series.series_id])
    return {round((ts - T0).total_seconds()): value for _, ts, value in frame.iter_rows()}


def test_a_restart_between_two_counts_changes_no_rate_and_forgets_no_step(
    platform: Platform, store: Store
) -> None:
    for at_s in (0, 15, 30):
        write(platform, total("hits", number(5_000_000 + 2 * at_s, at_s, start_s=-60), unit="{hit}"))
    assert stored(store, "hits") == {15: 2.0, 30: 2.0}
    (series,) = store.series.find(metric="hits")
    assert (series.kind, series.unit, series.step_s) == (SeriesKind.COUNTER, "hits/s", 15)
    assert store.metric_types.declared() == {}


def test_both_temporalities_give_the_same_rates(platform: Platform, store: Store) -> None:
    for at_s in (0, 60, 120):
        write(
            platform,
            total("cumulative", number(3 * at_s, at_s, start_s=-60)),
            total("delta", number(180, at_s, start_s=at_s - 60), temporality=DELTA),
        )
    assert stored(store, "cumulative") == {60: 3.0, 120: 3.0}
    assert stored(store, "delta") == {0: 3.0, 60: 3.0, 120: 3.0}


def test_a_restart_of_the_sender_is_a_reset(platform: Platform, store: Store) -> None:
    for value, at_s in ((600, 0), (1_200, 60), (300, 120)):
        write(platform, total("hits", number(value, at_s)))
    assert stored(store, "hits") == {60: 10.0, 120: 5.0}


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_the_count_of_a_histogram_is_a_rate(platform: Platform, store: Store, temporality: int) -> None:
    for n in range(3):
        point = HistogramDataPoint(
            count=60 if temporality == DELTA else 60 * n,
            sum=6.0,
            start_time_unix_nano=ns(60 * (n - 1)),
            time_unix_nano=ns(60 * n),
        )
        write(platform, histogram("rpc", point, temporality=temporality))
    assert stored(store, "rpc_count")[120] == 1.0


def test_a_request_that_is_sent_twice_is_stored_once(platform: Platform, store: Store) -> None:
    parts = (
        total("hits", number(100, 0), number(130, 15)),
        total("sent", number(90, 15, start_s=0), temporality=DELTA),
        gauge("depth", number(1, 0)),
    )
    write(platform, *parts)
    again = write(platform, *parts)
    assert (again.inserted, again.duplicates, again.rejected) == (0, 4, 0)


def test_what_the_store_rejects_is_a_dead_letter_beside_what_cannot_be_read(
    platform: Platform, store: Store
) -> None:
    report = write(
        platform,
        gauge("depth", number(1, 0), number(2, 2 * 86_400), number(float("inf"), 15)),
        total("sent", number(-5, 60, start_s=0), temporality=DELTA),
        gauge("", number(1, 0)),
        gauge("cpu.hit_ratio", number(7.0, 0), unit="1"),
    )
    assert (report.inserted, report.rejected) == (1, 5)
    letters = store.dead_letters.list()
    assert {letter.source for letter in letters} == {"otlp"}
    reasons = " ".join(letter.reason for letter in letters)
    for reason in ("in the future", "finite", "below 0", "no name", "outside 0 to 1"):
        assert reason in reasons


def test_a_gauge_that_becomes_a_counter_has_one_meaning_throughout(platform: Platform, store: Store) -> None:
    write(platform, total("jobs", number(100, 0), number(130, 15), monotonic=False))
    other = resource_metrics(gauge("jobs", number(7, 0)), resource={"service.name": "other"})
    write(platform, other)
    write(platform, total("jobs", number(160, 30)))
    series = {one.service: one for one in store.series.find(metric="jobs")}
    assert series["shop"].kind is SeriesKind.COUNTER
    frame = store.samples.read(T0, T0 + timedelta(days=1), [series["shop"].series_id])
    assert frame["value"].to_list() == [2.0, 2.0]
    # another service may have a gauge of this name
    frame = store.samples.read(T0, T0 + timedelta(days=1), [series["other"].series_id])
    assert frame["value"].to_list() == [7.0]
