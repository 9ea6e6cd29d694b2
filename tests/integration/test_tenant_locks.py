"""Transactions that need the same series in another order wait for each other, and none is aborted for a deadlock."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import psycopg
import pytest
from fakes.rows import make_series

from core.domain import Series
from core.frames import SAMPLES
from pipelines.stores.store import Store

Step = Callable[[Store, list[Series]], object]

WAIT_S = 20.0
ONE_COUNT = datetime(2026, 3, 1, tzinfo=UTC), 1.0


def register(store: Store, series: list[Series]) -> None:
    """Something new of the second series alone; the first one is as it is stored."""
    store.series.register([replace(series[1], step_s=15)])


def propose(store: Store, series: list[Series]) -> None:
    store.series.propose({one.series_id: 1.0 for one in reversed(series)})


def first_counts(store: Store, series: list[Series]) -> None:
    store.counters.recent([one.series_id for one in series])


def save_counts(store: Store, series: list[Series]) -> None:
    store.counters.save(pl.DataFrame([(series[1].series_id, *ONE_COUNT)], schema=SAMPLES, orient="row"))


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([register, first_counts], id="new metadata, then first counts"),
        pytest.param([propose, first_counts], id="proposed thresholds, then first counts"),
        pytest.param([first_counts, save_counts, register], id="first counts, then new metadata"),
    ],
)
@pytest.mark.parametrize("other", [register, propose, first_counts])
def test_a_transaction_that_meets_another_one_on_the_way_goes_on(
    store: Store, dsn: str, steps: list[Step], other: Step
) -> None:
    series = sorted((make_series(store, f"hits_{one}_total") for one in range(2)), key=lambda s: s.series_id)

    def meet() -> None:
        with store.atomically():
            other(store, series)

    with ThreadPoolExecutor(1) as pool:
        with store.atomically():
            steps[0](store, series)
            met = pool.submit(meet)
            wait_until(lambda: met.done() or waits_for_a_lock(dsn))
            for step in steps[1:]:
                step(store, series)
        met.result(WAIT_S)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "the other transaction neither waits nor ends"
        time.sleep(0.01)


def waits_for_a_lock(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ).fetchone()
    return bool(row and row[0])
