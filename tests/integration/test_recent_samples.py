"""Samples in memory are always those of the database, whoever writes, whenever it commits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from unittest.mock import patch

import polars as pl
import psycopg
import pytest
from fakes.rows import STEP, T0, make_series, samples_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain import Series
from core.durations import DAY, HOUR
from core.ports import SampleRepository
from pipelines.stores import sample_writes
from pipelines.stores.forwarded_samples import ForwardedSamples
from pipelines.stores.recent_samples import KeptSamples, RecentSamples
from pipelines.stores.sample_memory import MemoryBudget
from pipelines.stores.session import Pool, Session
from pipelines.stores.store import Store

SERIES = 4
ROOMY = 2**20


@pytest.fixture
def writer(store: Store) -> Store:
    """Another process: it has no memory, and always reads the database."""
    return store


def reader_of(pool: Pool, writer: Store, budget: MemoryBudget) -> Store:
    return Store(pool, writer.tenant, recent=RecentSamples(budget, 30))


@pytest.fixture
def reader(pool: Pool, writer: Store) -> Store:
    return reader_of(pool, writer, MemoryBudget(ROOMY))


def series_of(store: Store) -> list[Series]:
    return [make_series(store, f"service{number}") for number in range(SERIES)]


def assert_equal(reader: Store, writer: Store, hours: tuple[float, float], ids: list[int]) -> pl.DataFrame:
    start, end = (T0 + timedelta(hours=one) for one in hours)
    found = reader.samples.read(start, end, ids)
    assert found.equals(writer.samples.read(start, end, ids))
    return found


# What may happen between two reads: (series, hour, samples) are written, or all samples of a series are removed.
writes = st.tuples(st.integers(0, SERIES - 1), st.floats(0, 60), st.integers(1, 30))
removals = st.integers(0, SERIES - 1)
reads = st.tuples(
    st.floats(0, 50), st.floats(0.5, 30), st.lists(st.integers(0, SERIES - 1), min_size=1, unique=True)
)
happenings = st.lists(st.tuples(st.lists(st.one_of(writes, removals), max_size=3), reads), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings, st.sampled_from([ROOMY, 600, 0]))
def test_reads_equal_those_of_the_database(
    pool: Pool,
    writer: Store,
    happenings: list[tuple[list[tuple[int, float, int] | int], tuple[float, float, list[int]]]],
    most_bytes: int,
) -> None:
    reader = reader_of(pool, writer, MemoryBudget(most_bytes))
    series = series_of(writer)
    for changes, (start, hours, chosen) in happenings:
        for change in changes:
            if isinstance(change, int):
                writer.samples.remove(series[change].series_id)
            else:
                one, hour, count = change
                begin = T0 + int(hour * HOUR / STEP) * STEP
                values = [hour + place for place in range(count)]
                writer.samples.write(samples_of(series[one], values, start=begin))
        assert_equal(reader, writer, (start, start + hours), [series[one].series_id for one in chosen])


class Reads(ForwardedSamples):
    """Remembers which spans were read from the database."""

    def __init__(self, behind: SampleRepository) -> None:
        super().__init__(behind)
        self.spans: list[tuple[datetime, datetime]] = []

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        self.spans.append((start, end))
        return super().read(start, end, series_ids)


def test_only_what_is_new_is_read(pool: Pool, writer: Store) -> None:
    one = make_series(writer)
    database = Reads(writer.samples)
    reader = KeptSamples(Session(pool, writer.tenant), database, RecentSamples(MemoryBudget(ROOMY), 30))
    writer.samples.write(samples_of(one, [1.0, 2.0]))
    now = T0 + DAY
    for _ in range(3):
        reader.read(now - DAY, now, [one.series_id])
    assert database.spans == [(T0, now)]
    # The next cycle.
    writer.samples.write(samples_of(one, [3.0], start=now))
    reader.read(now + STEP - DAY, now + STEP, [one.series_id])
    assert database.spans.pop() == (now, now + STEP)
    # A late value.
    writer.samples.write(samples_of(one, [4.0], start=now - HOUR))
    found = reader.read(now + STEP - DAY, now + STEP, [one.series_id])
    assert database.spans.pop() == (now - HOUR, now + STEP)
    assert found["value"].to_list() == [2.0, 4.0, 3.0]


def test_a_read_that_begins_after_a_late_value_leaves_no_gap(reader: Store, writer: Store) -> None:
    one = make_series(writer)
    assert_equal(reader, writer, (0, 10), [one.series_id])
    writer.samples.write(samples_of(one, [1.0], start=T0 + 5 * HOUR))
    assert assert_equal(reader, writer, (7, 12), [one.series_id]).is_empty()
    assert assert_equal(reader, writer, (4, 12), [one.series_id]).height == 1


def test_a_transaction_that_commits_late_is_not_missed(dsn: str, reader: Store, writer: Store) -> None:
    one = make_series(writer)
    rows = samples_of(one, [1.0, 2.0, 3.0])
    with psycopg.connect(dsn) as late:
        late.execute("INSERT INTO samples VALUES (%s, %s, 1.0)", [one.series_id, T0 + HOUR])
        late.execute("INSERT INTO sample_writes (tenant, oldest) VALUES (%s, %s)", [writer.tenant, T0 + HOUR])
        # This one has a larger number, and is seen first.
        writer.samples.write(rows)
        assert assert_equal(reader, writer, (0, 2), [one.series_id]).height == 3
    assert assert_equal(reader, writer, (0, 2), [one.series_id]).height == 4


def test_what_is_rolled_back_is_not_kept(reader: Store, writer: Store) -> None:
    one = make_series(writer)

    def fails() -> None:
        with reader.atomically():
            reader.samples.write(samples_of(one, [1.0]))
            assert reader.samples.read(T0, T0 + DAY, [one.series_id]).height == 1
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        fails()
    assert assert_equal(reader, writer, (0, 24), [one.series_id]).is_empty()


def test_after_a_long_pause_everything_is_read_again(reader: Store, writer: Store, dsn: str) -> None:
    one = make_series(writer)
    writer.samples.write(samples_of(one, [1.0]))
    assert_equal(reader, writer, (0, 24), [one.series_id])
    writer.samples.write(samples_of(one, [2.0], start=T0 + HOUR))
    with psycopg.connect(dsn) as connection, patch.object(sample_writes, "KEPT", timedelta(microseconds=2)):
        connection.execute("DELETE FROM sample_writes")
        connection.commit()
        assert assert_equal(reader, writer, (0, 24), [one.series_id]).height == 2


def test_memory_is_bounded(pool: Pool, writer: Store) -> None:
    budget = MemoryBudget(16 * 100)
    reader = reader_of(pool, writer, budget)
    series = series_of(writer)
    for one in series:
        writer.samples.write(samples_of(one, [float(number) for number in range(40)]))
    ids = [one.series_id for one in series]
    for hours in (4, 5, 6):
        assert_equal(reader, writer, (0, hours), ids)
        assert 0 < budget.used <= 100


def test_samples_that_nobody_asks_for_any_more_leave_the_memory(pool: Pool, writer: Store) -> None:
    budget = MemoryBudget(ROOMY)
    reader = reader_of(pool, writer, budget)
    one = make_series(writer)
    for hour in range(0, 96, 2):
        writer.samples.write(samples_of(one, [float(number) for number in range(24)], start=T0 + hour * HOUR))
        assert_equal(reader, writer, (hour + 2 - 6, hour + 2), [one.series_id])
    assert budget.used <= (6 + 1) * 12
