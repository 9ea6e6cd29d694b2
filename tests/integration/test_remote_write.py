"""remote_write into a real database: rates survive restarts and failures, and types that come late."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from fakes.platform import platform_of
from fakes.remote_write import T0, compressed, metadata, time_series

from core.clock import FixedClock
from core.domain import SeriesKind
from core.errors import UnavailableError
from core.ports import Result
from pipelines.collect.ingest import IngestReport
from pipelines.collect.push import store_remote_write
from pipelines.common.tenant_platform import Platform
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

NOW = FixedClock(T0 + timedelta(days=1))
HITS: dict[str, str | bytes] = {"__name__": "hits_total", "job": "shop"}
JOBS: dict[str, str | bytes] = {"__name__": "jobs_done", "job": "shop"}


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, NOW)


def write(platform: Platform, *parts: bytes) -> IngestReport:
    """A request to a service that has just been started: it remembers nothing of the requests before."""
    receiver = RemoteWriteReceiver(platform.tenant)
    return store_remote_write(platform, receiver, compressed(*parts), lambda batch: batch)


def stored(store: Store, metric: str) -> dict[int, float]:
    """Seconds after `T0` -> value."""
    (series,) = store.series.find(metric=metric)
    frame = store.samples.read(T0, T0 + timedelta(days=1), [series.series_id])
    return {round((ts - T0).total_seconds()): value for _, ts, value in frame.iter_rows()}


def test_a_restart_between_two_counts_changes_no_rate(platform: Platform, store: Store) -> None:
    write(platform, time_series(HITS, [(0, 5_000_000.0)]))
    write(platform, time_series(HITS, [(15, 5_000_030.0)]))
    write(platform, time_series(HITS, [(30, 5_000_060.0), (45, 5_000_090.0)]))
    assert stored(store, "hits_total") == {15: 2.0, 30: 2.0, 45: 2.0}
    (series,) = store.series.find(metric="hits_total")
    assert (series.kind, series.step_s) == (SeriesKind.COUNTER, 15)


def test_a_restart_forgets_no_step(platform: Platform, store: Store) -> None:
    gauge: dict[str, str | bytes] = {"__name__": "depth", "job": "shop"}
    for at_s in (0, 15, 30):
        write(platform, time_series(gauge, [(at_s, 1.0)]))
    assert store.series.find(metric="depth")[0].step_s == 15


def test_a_type_that_was_declared_once_is_known_after_a_restart(platform: Platform, store: Store) -> None:
    write(platform, metadata("jobs_done", 1))
    write(platform, time_series(JOBS, [(0, 5_000_000.0)]))
    write(platform, time_series(JOBS, [(15, 5_000_030.0)]))
    assert stored(store, "jobs_done") == {15: 2.0}


def test_counts_that_came_before_their_type_become_rates(platform: Platform, store: Store) -> None:
    write(platform, time_series(JOBS, [(0, 5_000_000.0), (15, 5_000_030.0)]))
    assert stored(store, "jobs_done") == {0: 5_000_000.0, 15: 5_000_030.0}
    write(platform, metadata("jobs_done", 1))
    assert stored(store, "jobs_done") == {15: 2.0}
    write(platform, time_series(JOBS, [(30, 5_000_060.0)]))
    assert stored(store, "jobs_done") == {15: 2.0, 30: 2.0}
    (series,) = store.series.find(metric="jobs_done")
    assert (series.kind, series.unit) == (SeriesKind.COUNTER, "1/s")


def test_parts_of_a_histogram_become_rates_when_it_is_declared(platform: Platform, store: Store) -> None:
    count: dict[str, str | bytes] = {"__name__": "rpc_seconds_count", "job": "shop"}
    write(platform, time_series(count, [(0, 100.0)]))
    write(platform, metadata("rpc_seconds", 3))
    write(platform, time_series(count, [(60, 160.0)]))
    assert stored(store, "rpc_seconds_count") == {60: 1.0}


def test_a_gauge_whose_name_tells_a_counter_gets_its_values_back(platform: Platform, store: Store) -> None:
    write(platform, time_series(HITS, [(0, 10.0), (15, 40.0)]))
    report = write(platform, metadata("hits_total", 2))
    write(platform, time_series(HITS, [(30, 5.0)]))
    assert stored(store, "hits_total") == {0: 10.0, 15: 40.0, 30: 5.0}
    assert report.rejected == 0
    assert store.series.find(metric="hits_total")[0].kind is SeriesKind.GAUGE


def test_rates_that_cannot_be_turned_back_are_reported(platform: Platform, store: Store) -> None:
    for n in range(12):
        write(platform, time_series(HITS, [(15 * n, float(n))]))
    report = write(platform, metadata("hits_total", 2))
    assert report.rejected == 1
    assert report.first_rejected is not None
    assert "declared a gauge" in report.first_rejected
    assert stored(store, "hits_total") == {15 * n: float(n) for n in (0, *range(4, 12))}


class FailsOnce(Store):
    """A store whose database is lost once, just before it confirms."""

    failures = 1

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        def fails_once() -> Result:
            done = work()
            if self.failures:
                self.failures -= 1
                raise UnavailableError("the database does not answer")
            return done

        return super().atomically_retried(fails_once)


class EndsADeadlockOnce(Store):
    """A store whose database aborts the first transaction to end a deadlock."""

    tries = 0

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        def deadlocks_once() -> Result:
            self.tries += 1
            done = work()
            if self.tries == 1:
                raise psycopg.errors.DeadlockDetected
            return done

        return super().atomically_retried(deadlocks_once)


def test_a_request_that_was_aborted_to_end_a_deadlock_is_stored_by_the_next_try(
    pool: Pool, store: Store
) -> None:
    again = EndsADeadlockOnce(pool, store.tenant)
    report = write(platform_of(again, NOW), time_series(HITS, [(0, 100.0), (15, 130.0)]))
    assert (again.tries, report.inserted, report.rejected) == (2, 1, 0)
    assert stored(store, "hits_total") == {15: 2.0}


def test_a_count_that_was_not_confirmed_gives_the_right_rate_when_it_is_sent_again(
    pool: Pool, store: Store
) -> None:
    write(platform_of(store, NOW), time_series(HITS, [(0, 100.0)]))
    failing = replace(platform_of(store, NOW), store=FailsOnce(pool, store.tenant))
    receiver = RemoteWriteReceiver(store.tenant)
    body = compressed(time_series(HITS, [(15, 130.0)]))
    with pytest.raises(UnavailableError):
        store_remote_write(failing, receiver, body, lambda batch: batch)
    assert stored(store, "hits_total") == {}
    report = store_remote_write(failing, receiver, body, lambda batch: batch)
    assert (report.inserted, report.rejected) == (1, 0)
    assert stored(store, "hits_total") == {15: 2.0}


def test_a_request_that_is_sent_twice_is_stored_once(platform: Platform, store: Store) -> None:
    parts = (time_series(HITS, [(0, 100.0), (15, 130.0)]), time_series(JOBS, [(0, 1.0)]))
    write(platform, *parts)
    again = write(platform, *parts)
    assert (again.inserted, again.duplicates, again.rejected) == (0, 3, 0)
    assert stored(store, "hits_total") == {15: 2.0}


def test_an_old_request_that_is_sent_again_is_known_and_an_unknown_old_count_is_reported(
    platform: Platform, store: Store
) -> None:
    for n in range(12):
        write(platform, time_series(HITS, [(15 * n, 30.0 * n)]))
    again = write(platform, time_series(HITS, [(30, 60.0)]))
    assert (again.duplicates, again.rejected) == (1, 0)
    late = write(platform, time_series(HITS, [(20, 40.0)]))
    assert (late.inserted, late.rejected) == (0, 1)
    assert stored(store, "hits_total") == {15 * n: 2.0 for n in range(1, 12)}


def test_two_tenants_count_apart(pool: Pool, store: Store) -> None:
    other = Store(pool, f"{store.tenant[:50]}_2")
    write(platform_of(store, NOW), metadata("jobs_done", 1), time_series(JOBS, [(0, 100.0)]))
    write(platform_of(other, NOW), time_series(JOBS, [(15, 130.0)]))
    assert stored(other, "jobs_done") == {15: 130.0}
    assert other.metric_types.declared() == {}


def test_bad_parts_are_dead_letters_and_good_ones_are_stored(platform: Platform, store: Store) -> None:
    report = write(
        platform,
        time_series({"__name__": "good_a", "job": "shop"}, [(0, 1.0)]),
        time_series({"job": "shop"}, [(0, 1.0)]),
        time_series({"__name__": "bad", "job": "shop", "msg": "a\0b"}, [(0, 1.0)]),
        time_series({"__name__": "late", "job": "shop"}, [(2 * 86_400, 1.0)]),
        time_series({"__name__": "hits_total", "job": "shop"}, [(0, -1.0), (15, 0.0), (30, 30.0)]),
        time_series({"__name__": "good_b", "job": "shop"}, [(0, 2.0)]),
    )
    assert (report.inserted, report.rejected) == (3, 4)
    assert (stored(store, "good_a"), stored(store, "good_b")) == ({0: 1.0}, {0: 2.0})
    assert stored(store, "hits_total") == {30: 2.0}
    letters = store.dead_letters.list()
    assert {letter.source for letter in letters} == {"remote_write"}
    assert len(letters) == 4
    again = write(platform, time_series({"job": "shop"}, [(15, 1.0)]))
    assert again.rejected == 1
    assert store.dead_letters.count() == 4


def test_several_requests_at_once_lose_and_double_nothing(pool: Pool, store: Store) -> None:
    def send(worker: int) -> None:
        for n in range(20):
            parts = [
                time_series({"__name__": "hits_total", "job": "shop", "w": str(w)}, [(n * 15, 30.0 * n)])
                for w in (range(8) if worker % 2 else range(7, -1, -1))
            ]
            write(platform_of(Store(pool, store.tenant), NOW), *parts, metadata(f"metric_{worker}_{n}", 2))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(4)))
    frame = store.samples.read(T0, T0 + timedelta(days=1))
    assert frame.height == 8 * 19
    # a count that came before the one that precedes it has the mean rate since the last known one
    assert frame["value"].to_list() == pytest.approx([2.0] * frame.height)
    assert store.dead_letters.count() == 0


def test_forty_thousand_series_come_in_one_request(platform: Platform, store: Store) -> None:
    parts = [
        time_series({"__name__": "hits_total", "job": "shop", "path": str(n)}, [(0, 0.0), (15, 30.0)])
        for n in range(20_000)
    ]
    parts += [
        time_series({"__name__": "depth", "job": "shop", "path": str(n)}, [(0, 1.0)]) for n in range(20_000)
    ]
    report = write(platform, *parts)
    assert (report.inserted, report.rejected) == (40_000, 0)
