"""The counts of counters: any number of them and any value come back, also when several requests store at once."""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import polars as pl
from fakes.platform import platform_of
from fakes.remote_write import T0, compressed, time_series
from fakes.rows import make_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from core.clock import FixedClock
from core.frames import SAMPLES
from pipelines.collect.push import store_remote_write
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.store import Store

MOMENTS = st.integers(0, 2**52).map(lambda us: T0 + timedelta(microseconds=us))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.lists(st.dictionaries(MOMENTS, NUMBERS, min_size=1, max_size=9), min_size=1, max_size=5)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(counts=COUNTS)
def test_any_number_of_any_counts_comes_back(store: Store, counts: list[dict[datetime, float]]) -> None:
    series = [make_series(store, f"hits_{number}_total") for number in range(len(counts))]
    rows = [
        (one.series_id, ts, value)
        for one, values in zip(series, counts, strict=True)
        for ts, value in values.items()
    ]
    saved = pl.DataFrame(rows, schema=SAMPLES, orient="row")
    store.counters.save(saved)
    kept = store.counters.recent([one.series_id for one in series])
    assert_frame_equal(kept, saved.sort("series_id", "ts"), check_exact=True)


def test_of_several_requests_at_once_each_finds_the_counts_of_the_others(store: Store) -> None:
    """Each request has counters with counts, and either new ones or ones that are known but had no count yet."""
    platform = platform_of(store, FixedClock(T0 + timedelta(days=1)))
    rounds, series, threads = 12, 20, 4

    def write(paths: Iterable[int], at_s: float, count: float) -> None:
        parts = [time_series({"__name__": "hits_total", "path": f"/{one}"}, [(at_s, count)]) for one in paths]
        store_remote_write(
            platform, RemoteWriteReceiver(store.tenant), compressed(*parts), lambda batch: batch
        )

    def send(number: int, round_of: int) -> None:
        together.wait()
        write(range(series * (round_of + 1)), at_s=60 * round_of + 15 * number, count=1.0)

    together = Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:
        for round_of in range(rounds):
            if round_of % 2:
                write(range(series * round_of, series * (round_of + 1)), at_s=60 * round_of, count=math.nan)
            list(pool.map(send, range(threads), [round_of] * threads))
    ids = [one.series_id for one in store.series.find(metric="hits_total")]
    assert len(ids) == series * rounds
    # Of n counts at n times all but the first have a rate, whichever request came first.
    rates = store.samples.read(T0, T0 + timedelta(days=1), ids)
    counted = rates.group_by("series_id").len()["len"].sort().to_list()
    assert counted == sorted(threads * (rounds - first) - 1 for first in range(rounds) for _ in range(series))
