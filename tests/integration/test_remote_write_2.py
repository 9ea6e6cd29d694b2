"""remote_write 2.0 into a real database: starts of counters, native histograms, and how much was written."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from fakes.platform import platform_of
from fakes.remote_write import T0
from fakes.remote_write_2 import STALE, Sent, body_1, body_2

from core.clock import FixedClock
from core.domain import SeriesKind
from pipelines.collect.push import store_request
from pipelines.collect.written import Written, written
from pipelines.common.tenant_platform import Platform
from pipelines.sources.remote_write import Message, RemoteWriteReceiver
from pipelines.stores.store import Store

NOW = FixedClock(T0 + timedelta(days=1))
HITS = {"__name__": "hits_total", "job": "shop"}
LATENCY = {"__name__": "rpc_seconds", "job": "shop"}


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, NOW)


def write(
    platform: Platform, *sent: Sent, message: Message = Message.VERSION_2
) -> tuple[Written, Sequence[str]]:
    """What was written, and why the rest was not."""
    receiver = RemoteWriteReceiver(platform.tenant)
    body = body_2(sent) if message is Message.VERSION_2 else body_1(sent)
    request = receiver.decode(body, message)
    _, rejected = store_request(platform, receiver, request, lambda batch: batch)
    return written(request, rejected), rejected["reason"].to_list()


def stored(store: Store, metric: str) -> dict[float, float]:
    """Seconds after `T0` -> value."""
    (series,) = store.series.find(metric=metric)
    frame = store.samples.read(T0 - timedelta(days=1), T0 + timedelta(days=1), [series.series_id])
    return {(ts - T0).total_seconds(): value for _, ts, value in frame.iter_rows()}


def test_the_start_of_a_counter_gives_its_first_rate_and_shows_a_reset(
    platform: Platform, store: Store
) -> None:
    write(platform, Sent(labels=HITS, samples=[(0, 120.0)], created_s=-60))
    write(platform, Sent(labels=HITS, samples=[(15, 150.0)], created_s=-60))
    write(platform, Sent(labels=HITS, samples=[(30, 200.0)], created_s=20))
    assert stored(store, "hits_total") == {0: 2.0, 15: 2.0, 30: 20.0}
    (series,) = store.series.find(metric="hits_total")
    assert series.step_s == 15


def test_a_counter_that_is_declared_a_gauge_keeps_no_start_among_its_values(
    platform: Platform, store: Store
) -> None:
    write(platform, Sent(labels=HITS, samples=[(0, 120.0)], created_s=-60))
    write(platform, Sent(labels=HITS, samples=[(15, 150.0)], kind="gauge"))
    assert stored(store, "hits_total") == {0: 120.0, 15: 150.0}


def histogram(at_s: float, count: int, total: float, **more: Any) -> dict[str, Any]:
    """All values in (1, 2]."""
    spans = [{"offset": 1, "length": 1}]
    return {"at_s": at_s, "count_int": count, "sum": total, "schema": 0, "positive_spans": spans,
            "positive_deltas": [count]} | more  # fmt: skip


@pytest.mark.parametrize("message", list(Message))
def test_a_native_histogram_gives_rates_and_the_quantiles_of_what_was_counted_since_the_one_before(
    platform: Platform, store: Store, message: Message
) -> None:
    other = {"positive_spans": [{"offset": 1, "length": 1}, {"offset": 1, "length": 1}]}
    for one in (
        histogram(0, 100, 150.0),
        histogram(60, 160, 1000.0, **other, positive_deltas=[100, -40]),  # 60 more, in (4, 8]
        histogram(120, 30, 45.0),  # after a restart
        histogram(240, 30, 45.0),  # nobody called
    ):
        result, reasons = write(
            platform, Sent(labels=LATENCY, histograms=[one], kind="histogram"), message=message
        )
        assert (result, reasons) == (Written(samples=0, histograms=1), [])
    assert stored(store, "rpc_seconds_count") == {60: 1.0, 120: 0.5, 240: 0.0}
    assert stored(store, "rpc_seconds_p50") == {
        60: pytest.approx(4 * math.sqrt(2)),
        120: pytest.approx(math.sqrt(2)),
    }
    (total,) = store.series.find(metric="rpc_seconds_sum")
    assert (total.kind, total.unit) == (SeriesKind.COUNTER, "seconds/s")
    assert not store.series.find(metric="rpc_seconds")
    assert {one.unit for one in store.series.find() if one.metric.startswith("rpc_seconds_p")} == {"seconds"}


def test_histograms_may_come_late_twice_and_with_a_start(platform: Platform, store: Store) -> None:
    late, early, first = histogram(120, 300, 450.0), histogram(60, 200, 300.0), histogram(0, 100, 150.0)
    for one in (first, late, early, late, early):
        result, _ = write(platform, Sent(labels=LATENCY, histograms=[one], created_s=-100))
        assert result.histograms == 1
    assert stored(store, "rpc_seconds_count")[0] == 1.0
    assert set(stored(store, "rpc_seconds_p50")) == {0, 60, 120}
    assert store.dead_letters.count() == 0


def test_a_gauge_histogram_has_its_own_quantiles(platform: Platform, store: Store) -> None:
    write(platform, Sent(labels=LATENCY, histograms=[histogram(0, 10, 15.0, reset_hint=3)]))
    assert stored(store, "rpc_seconds_count") == {0: 10.0}
    assert stored(store, "rpc_seconds_p50") == {0: pytest.approx(math.sqrt(2))}


def test_what_was_written_is_counted_exactly(platform: Platform) -> None:
    depth = {"__name__": "depth", "job": "shop"}
    good = [Sent(labels=depth, samples=[(0, 1.0), (15, STALE)]), Sent(labels=HITS, samples=[(0, 1.0)])]
    bad = [
        Sent(labels={"job": "shop"}, samples=[(0, 1.0), (15, 2.0)]),
        Sent(labels={"__name__": "late"}, samples=[(0, 1.0), (200_000, 1.0)]),
        Sent(labels=LATENCY, histograms=[histogram(0, 10, 15.0), histogram(200_000, 20, 30.0)]),
    ]
    result, reasons = write(platform, *good, *bad)
    assert result == Written(samples=4, histograms=1)
    assert len(reasons) == 4  # of the late histogram its number of values and their sum
    again, _ = write(platform, *good)
    assert again == Written(samples=3, histograms=0)  # duplicates are accepted
    other, reasons = write(platform, Sent(labels=depth, samples=[(0, 5.0), (30, 6.0)]))
    assert (other.samples, len(reasons)) == (1, 1)


def test_a_marker_ends_a_series_and_the_parts_of_a_histogram(platform: Platform, store: Store) -> None:
    write(
        platform,
        Sent(labels=HITS, samples=[(0, 1.0), (15, STALE)]),
        Sent(labels=LATENCY, histograms=[histogram(0, 10, 15.0), {"at_s": 15, "sum": STALE}]),
    )
    names = {one.series_id: one.metric for one in store.series.find()}
    ends = store.series_ends.since(T0)
    assert {names[key] for key in ends["series_id"]} == set(names.values())
    assert set(ends["ts"]) == {T0 + timedelta(seconds=15)}
    assert store.series_ends.since(T0 + timedelta(days=9)).equals(ends)
