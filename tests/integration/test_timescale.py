"""Chunks on TimescaleDB: late samples reach compressed ones, and existing databases get smaller ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import polars as pl
import psycopg
import pytest
from fakes.archive import FakeArchive
from servers.postgres import fresh_database

from core.domain import Series
from core.frames import SAMPLES
from core.settings import Settings
from pipelines.stores.migrate import down, migrate
from pipelines.stores.session import Pool, open_pool
from pipelines.stores.store import Store
from pipelines.stores.timescale import timescale_usable

NEWEST = "timescale/0004_smaller_chunks"
#: Policies run when a test runs them.
STOP_JOBS = "SELECT _timescaledb_functions.stop_background_workers()"
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
#: Policies count from the real present.
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def empty(server_dsn: str) -> Iterator[str]:
    """An empty database, where TimescaleDB can be used."""
    with fresh_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            if not timescale_usable(connection):
                pytest.skip("this server has no TimescaleDB")
        yield dsn


@pytest.fixture
def pool(empty: str) -> Iterator[Pool]:
    """A migrated database."""
    migrate(empty, Settings(_env_file=None, retention_raw_days=400))
    with open_pool(empty) as pool:
        query(pool, STOP_JOBS)
        yield pool


def query(pool: Pool, statement: str) -> list[tuple[object, ...]]:
    with pool.connection() as connection:
        return connection.execute(statement.encode()).fetchall()


def run_compression(pool: Pool) -> None:
    """Run the policy, as its job does."""
    ((job,),) = query(
        pool, "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
    )
    with pool.connection() as connection:
        connection.autocommit = True
        connection.execute("CALL run_job(%s)", [job])
        connection.autocommit = False


def chunks(pool: Pool) -> list[tuple[timedelta, bool, bool]]:
    """Length, whether it is compressed, and whether all of it is; the oldest first."""
    rows = query(
        pool,
        "SELECT i.range_end - i.range_start, i.is_compressed, c.status = 1"
        " FROM timescaledb_information.chunks i JOIN _timescaledb_catalog.chunk c"
        " ON (c.schema_name, c.table_name) = (i.chunk_schema, i.chunk_name)"
        " WHERE i.hypertable_name = 'samples' ORDER BY i.range_start",
    )
    return [
        (length, bool(compressed), bool(whole))
        for length, compressed, whole in rows
        if isinstance(length, timedelta)
    ]


def midnight(days_ago: int) -> datetime:
    return TODAY - days_ago * DAY


def registered(store: Store, count: int) -> list[int]:
    series = [Series(tenant=store.tenant, service=f"service{n}", metric="value") for n in range(count)]
    store.series.register(series)
    return [one.series_id for one in series]


def minutes(
    ids: list[int], start: datetime, count: int, step: timedelta = MINUTE, offset: float = 0.0
) -> pl.DataFrame:
    """A sample of each series at each step, each with another value."""
    times = pl.datetime_range(start, start + (count - 1) * step, step, time_unit="us", eager=True)
    return pl.DataFrame(
        {
            "series_id": np.repeat(ids, count),
            "ts": pl.concat([times] * len(ids)),
            "value": np.arange(count * len(ids)) + 0.25 + offset,
        },
        schema=dict(SAMPLES),
    ).sort("series_id", "ts")


def test_chunks_of_half_a_day_are_compressed_an_hour_after_their_end_into_weeks(pool: Pool) -> None:
    store = Store(pool, "acme")
    start = midnight(16)
    count = (datetime.now(UTC) - start) // (5 * MINUTE)
    frame = minutes(registered(store, 2), start, count, 5 * MINUTE)
    store.samples.write(frame)
    run_compression(pool)
    found = chunks(pool)
    lengths = [length for length, compressed, _ in found if compressed]
    assert lengths[:2] == [7 * DAY] * 2
    assert len(lengths) == 3
    # the current chunk, and in the first hour of it the one before
    current = [length for length, compressed, _ in found if not compressed]
    assert 1 <= len(current) <= 2
    assert set(current) == {timedelta(hours=12)}
    assert store.samples.read(start, midnight(-1)).equals(frame)
    assert query(
        pool,
        "SELECT schedule_interval FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'",
    ) == [(timedelta(hours=1),)]


def test_late_samples_reach_compressed_chunks_and_the_first_value_stays(pool: Pool) -> None:
    """More rows are late than TimescaleDB would decompress in a transaction (100,000)."""
    store = Store(pool, "acme")
    ids = registered(store, 100)
    start = midnight(10)
    stored = minutes(ids, start, 720)
    store.samples.write(stored)
    run_compression(pool)
    assert [state for _, *state in chunks(pool)] == [[True, True]]

    late = minutes(ids, start, 1440, MINUTE / 2, offset=0.5)
    result = store.samples.write(late)
    assert (result.inserted, result.duplicates, result.conflicts.height) == (72_000, 0, 72_000)
    assert result.conflicts.drop("value").rename({"stored": "value"}).equals(stored)
    fresh = late.join(stored, on=["series_id", "ts"], how="anti")
    whole = pl.concat([stored, fresh]).sort("series_id", "ts")
    assert store.samples.read(start, start + DAY).equals(whole)
    assert store.samples.stored_at(late.select("series_id", "ts")).height == 144_000
    assert store.samples.write(whole).duplicates == 144_000

    store.rollups.refresh(start, start + DAY)
    hours = store.rollups.read("1h", start, start + DAY)
    assert hours["n"].unique().to_list() == [120]
    run_compression(pool)
    assert [state for _, *state in chunks(pool)] == [[True, True]]
    assert store.samples.read(start, start + DAY).equals(whole)
    assert store.samples.latest().equals(whole.group_by("series_id").last().sort("series_id"))


def test_single_late_samples_leave_a_chunk_compressed(pool: Pool) -> None:
    store = Store(pool, "acme")
    ids = registered(store, 3)
    start = midnight(10)
    stored = minutes(ids, start, 700)
    store.samples.write(stored)
    run_compression(pool)
    late = minutes(ids, start + 700 * MINUTE, 1)  # one sample a series
    assert store.samples.write(late).inserted == 3
    conflict = late.with_columns(value=pl.lit(-1.0))
    assert store.samples.write(conflict).conflicts["stored"].to_list() == late["value"].to_list()
    assert [state for _, *state in chunks(pool)] == [[True, False]]
    ((chunk,),) = query(pool, "SELECT show_chunks('samples')::text")
    assert query(pool, f"SELECT count(*) FROM ONLY {chunk}") == [(3,)], "the others stay compressed"
    assert store.samples.read(start, start + DAY).equals(pl.concat([stored, late]).sort("series_id", "ts"))
    run_compression(pool)
    assert [state for _, *state in chunks(pool)] == [[True, True]]


def test_a_series_is_removed_from_compressed_chunks(pool: Pool) -> None:
    """Of three series with 80 days: one has more samples than may be decompressed in a transaction."""
    store = Store(pool, "acme")
    ids = registered(store, 3)
    start = midnight(80)
    store.samples.write(minutes(ids, start, 75 * 1440))
    run_compression(pool)
    late = minutes(ids, start + MINUTE / 2, 1)
    store.samples.write(late)
    store.rollups.refresh(start, start + DAY)
    assert store.samples.remove(ids[0]) == 75 * 1440 + 1
    assert set(store.samples.latest()["series_id"]) == set(ids[1:])
    store.rollups.refresh(start, start + DAY)
    assert set(store.rollups.read("1h", start, start + DAY)["series_id"]) == set(ids[1:])
    again = minutes(ids[:1], start, 3)
    assert store.samples.write(again).inserted == 3
    assert store.samples.read(start, start + DAY, ids[:1]).equals(again)


def test_an_existing_database_gets_smaller_chunks_and_keeps_its_samples(empty: str) -> None:
    migrate(empty, Settings(_env_file=None, retention_raw_days=400))
    assert down(empty) == [NEWEST]
    with open_pool(empty) as pool:
        query(pool, STOP_JOBS)
        store = Store(pool, "acme")
        ids = registered(store, 2)
        old = minutes(ids, midnight(30), 30 * 288, 5 * MINUTE)
        store.samples.write(old)
        run_compression(pool)
        before = chunks(pool)
        assert {length for length, _, _ in before} == {timedelta(days=7)}
        assert sum(not compressed for _, compressed, _ in before) >= 1

        assert migrate(empty) == [NEWEST]
        assert store.samples.read(midnight(40), midnight(0)).equals(old)
        run_compression(pool)
        assert sum(not compressed for _, compressed, _ in chunks(pool)) <= 1, "the current week"
        new = minutes(ids, midnight(-20), 288, 5 * MINUTE)
        late = minutes(ids, midnight(30) + MINUTE, 30 * 288, 5 * MINUTE)
        assert store.samples.write(pl.concat([new, late])).inserted == 2 * 31 * 288
        whole = pl.concat([old, new, late]).sort("series_id", "ts")
        assert store.samples.read(midnight(40), midnight(-40)).equals(whole)
        run_compression(pool)
        assert [length for length, _, _ in chunks(pool)][-2:] == [timedelta(hours=12)] * 2
        assert store.samples.read(midnight(40), midnight(-40)).equals(whole)

        assert down(empty) == [NEWEST]
        assert store.samples.read(midnight(40), midnight(-40)).equals(whole)


def test_a_late_sample_leaves_the_rollups_of_dropped_chunks(pool: Pool) -> None:
    store = Store(pool, "acme")
    ids = registered(store, 1)
    days = [60, 55, 45, 10, 0]
    for day in days:
        store.samples.write(minutes(ids, midnight(day), 120))
    store.rollups.refresh(midnight(60), midnight(-1))
    before = store.rollups.read("1h", midnight(60), midnight(-1))
    assert before["n"].to_list() == [60] * 10
    query(pool, "SELECT drop_chunks('samples', INTERVAL '40 days')::text")

    store.samples.write(minutes(ids, midnight(60) + MINUTE / 2, 1))
    store.retention.apply(Settings(_env_file=None, retention_raw_days=40), midnight(0))
    assert store.rollups.read("1h", midnight(60), midnight(-1)).equals(before)


def test_late_samples_are_summarised_before_their_chunk_may_be_dropped(pool: Pool) -> None:
    """A policy of TimescaleDB refreshes rollups of the last six days only."""
    store = Store(pool, "acme")
    ids = registered(store, 1)
    for day in (39, 0):
        store.samples.write(minutes(ids, midnight(day), 60))
    store.retention.apply(Settings(_env_file=None, retention_raw_days=40), midnight(0))
    assert store.rollups.read("1h", midnight(60), midnight(1))["n"].to_list() == [60]


def test_archived_chunks_are_dropped_and_late_samples_of_them_archived_again(
    pool: Pool, tmp_path: Path
) -> None:
    archive = FakeArchive(tmp_path / "archive")
    store = Store(pool, "acme", archive)
    ids = registered(store, 2)
    whole = minutes(ids, midnight(30), 30 * 288 + 1, 5 * MINUTE)
    store.samples.write(whole)
    run_compression(pool)
    settings = Settings(_env_file=None, retention_raw_days=10)

    def retain_and_compare() -> None:
        store.retention.apply(settings, midnight(0))
        run_compression(pool)
        assert store.samples.read(midnight(40), midnight(-1)).equals(whole)

    def in_database() -> pl.DataFrame:
        return Store(pool, "acme").samples.read(midnight(40), midnight(-1))

    retain_and_compare()
    assert len(archive.files()) == 20
    left = in_database()
    # 30 days of weeks: two end before the last ten days
    assert left.equals(whole.filter(pl.col("ts") >= midnight(16)))
    late = minutes(ids, midnight(29) + MINUTE, 3)
    store.samples.write(late)
    whole = pl.concat([whole, late]).sort("series_id", "ts")
    retain_and_compare()
    assert len(archive.files()) == 20
    assert in_database().equals(left)
    hours = store.rollups.read("1h", midnight(30), midnight(10))
    assert (hours.height, hours["n"].min()) == (2 * 20 * 24, 12)


def test_late_samples_and_reads_while_chunks_are_compressed_and_joined(pool: Pool) -> None:
    store = Store(pool, "acme")
    ids = registered(store, 20)
    half_days = [midnight(40) + n * timedelta(hours=12) for n in range(6)]
    written = [minutes(ids, at, 720) for at in half_days]
    over = Event()

    def write_late(number: int) -> list[pl.DataFrame]:
        frames: list[pl.DataFrame] = []
        while not over.is_set():
            n = len(frames)
            at = half_days[n % 6] + timedelta(minutes=n % 700, seconds=number, microseconds=n)
            frames.append(minutes(ids[5 * number :][:5], at, 1 + n % 3))
            assert store.samples.write(frames[-1]).inserted == frames[-1].height
        return frames

    def read() -> None:
        while not over.is_set():
            store.samples.read(half_days[0], half_days[-1])
            store.samples.latest()
            store.rollups.refresh(half_days[0], half_days[-1])

    with ThreadPoolExecutor(3) as threads:
        writing = [threads.submit(write_late, number) for number in (1, 2)]
        reading = threads.submit(read)
        try:
            for frame in written.copy():
                store.samples.write(frame)
                with suppress(psycopg.errors.DataException):  # it lost a deadlock, and runs again
                    run_compression(pool)
        finally:
            over.set()
        reading.result()
        written += [frame for one in writing for frame in one.result()]
    run_compression(pool)
    whole = pl.concat(written).sort("series_id", "ts")
    assert store.samples.read(midnight(50), midnight(0)).equals(whole)
    assert all(is_whole for *_, is_whole in chunks(pool))
    store.rollups.refresh(half_days[0], midnight(30))
    assert store.rollups.read("1h", midnight(50), midnight(0))["n"].sum() == whole.height


def test_late_samples_that_the_server_does_not_remember_are_summarised(pool: Pool) -> None:
    store = Store(pool, "acme")
    ids = registered(store, 2)
    day, next_day = midnight(40), midnight(39)
    store.samples.write(minutes(ids, day, 1440))
    store.rollups.refresh(day, next_day)
    store.samples.write(minutes(ids, day + timedelta(seconds=30), 3))
    with pool.connection() as connection:
        # As after a refresh that moved its threshold over them while they were committed.
        connection.execute("DELETE FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log")
    store.rollups.refresh(day, next_day)
    for width in ("5m", "1h"):
        assert store.rollups.read(width, day, next_day)["n"].sum() == 2 * 1443
