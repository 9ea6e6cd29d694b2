"""The archive: samples that retention takes out of the database are read as if they were still there."""

from datetime import date, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from any_float import FLOATS, many_examples
from fakes.archive import ALL, DAY, END, NOW, FakeArchive, deletes, in_database, retain, three_old_days
from fakes.platform import platform_of
from fakes.rows import STEP, T0, make_series, samples_of
from hypothesis import given
from hypothesis import strategies as st
from servers.postgres import fresh_database

from core.archive import ArchiveCheck
from core.clock import FixedClock
from core.domain import Series
from core.errors import ArchiveUnavailableError, ConfigurationError, DamagedArchiveError, NotFoundError
from core.frames import SAMPLES
from core.settings import Settings
from pipelines.operate.archive import check_archive, forget_days
from pipelines.operate.retention import apply_retention
from pipelines.operate.status_of_archive import archive as archive_status
from pipelines.stores.archive_files import LocalArchive
from pipelines.stores.archived_days import ArchivedDayStore
from pipelines.stores.archiver import Archiver
from pipelines.stores.chunks import archived_until, drop_archived_chunks
from pipelines.stores.day_files import DayFiles
from pipelines.stores.migrate import migrate
from pipelines.stores.samples import SampleStore
from pipelines.stores.session import Pool, Session, open_pool
from pipelines.stores.store import Store
from pipelines.stores.timescale import timescale_in_use

FIRST = date(2026, 1, 5)
_NUMBERS = count()


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    return FakeArchive(tmp_path / "archive")


@pytest.fixture
def store(pool: Pool, archive: FakeArchive) -> Store:
    return Store(pool, f"archived{next(_NUMBERS)}", archive)


@pytest.fixture
def series(store: Store) -> list[Series]:
    return three_old_days(store)


def test_what_is_archived_is_read_exactly_as_before(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    before = store.samples.read(*ALL)
    gone = retain(store)
    if deletes(store):
        assert gone == {"samples": 18}
        assert in_database(store).height == 2
    assert archive.files() == [f"tenant={store.tenant}/2026-01-0{day}.parquet" for day in (5, 6, 7)]
    after = store.samples.read(*ALL)
    assert after.equals(before)
    assert after["value"].to_numpy().tobytes() == before["value"].to_numpy().tobytes()
    one = series[1].series_id
    inside = (pl.col("ts") >= T0 + STEP) & (pl.col("ts") < T0 + DAY + STEP) & (pl.col("series_id") == one)
    assert store.samples.read(T0 + STEP, T0 + DAY + STEP, [one]).equals(before.filter(inside))
    assert store.samples.read(*ALL, []).is_empty()
    assert store.samples.read(T0 + DAY, T0 + DAY).is_empty()
    summary = store.archive.summary()
    assert (summary.days, summary.samples, summary.first, summary.last) == (3, 18, FIRST, date(2026, 1, 7))
    assert summary.size_bytes == sum((archive.folder / name).stat().st_size for name in archive.files())


def test_a_second_run_changes_nothing(store: Store, series: list[Series], archive: FakeArchive) -> None:
    retain(store)
    before, files = store.samples.read(*ALL), archive.files()
    reads = archive.reads
    assert retain(store) == {}
    assert archive.reads == reads
    assert (archive.files(), store.archive.summary().days) == (files, 3)
    assert store.samples.read(*ALL).equals(before)


def test_a_read_of_recent_samples_does_not_touch_the_archive(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    retain(store)
    archive.is_down = True
    assert store.samples.read(T0 + 3 * DAY, END).height == 2
    if deletes(store):
        with pytest.raises(ArchiveUnavailableError):
            store.samples.read(T0 + 3 * DAY - STEP, END)


def test_late_samples_join_the_file_of_their_day(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    retain(store)
    before = store.samples.read(*ALL)
    late = samples_of(series[0], [1.5, 2.5], T0 + timedelta(hours=6))
    store.samples.write(late)
    # the first value of a time stays, as in the database
    other = samples_of(series[0], [99.0], T0)
    if deletes(store):
        store.samples.write(other)
    whole = pl.concat([before, late]).sort("series_id", "ts")
    assert store.samples.read(*ALL).equals(whole)
    retain(store)
    assert store.samples.read(*ALL).equals(whole)
    assert archive.files()[0] == f"tenant={store.tenant}/2026-01-05.1.parquet"
    assert len(archive.files()) == 3
    assert store.archive.summary().samples == 20
    if deletes(store):
        assert in_database(store).height == 2


def test_while_the_archive_is_down_nothing_is_deleted_and_status_tells_it(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    settings = Settings(_env_file=None, archive_url=str(archive.folder))
    platform = platform_of(store, FixedClock(NOW), settings=settings)
    before = store.samples.read(*ALL)
    archive.is_down = True
    report = apply_retention(platform)
    sentence = (
        "The samples of 3 days from 2026-01-05 to 2026-01-07 wait for the archive since 2026-02-14 00:00 UTC and are"
        " not deleted: the archive is down."
    )
    assert (report.deleted, report.archived_days, report.waiting) == ({}, 0, sentence)
    assert in_database(store).equals(before)
    assert [part.problem for part in archive_status(platform)] == [sentence]
    later = platform_of(store, FixedClock(NOW + DAY), settings=settings)
    assert apply_retention(later).waiting == sentence, "since the first failure"
    archive.is_down = False
    assert apply_retention(later).waiting is None
    (part,) = archive_status(later)
    assert part.problem is None
    assert part.state.startswith("3 days from 2026-01-05 to 2026-01-07, 18 samples in 0.0 MB")
    assert store.samples.read(*ALL).equals(before)


def test_an_archive_that_the_settings_do_not_name_any_more_is_a_problem(
    store: Store, series: list[Series]
) -> None:
    retain(store)
    platform = platform_of(store, FixedClock(NOW), settings=Settings(_env_file=None))
    (part,) = archive_status(platform)
    assert part.problem is not None
    assert "FOREWARN_ARCHIVE_URL is not set" in part.problem


def test_a_damaged_file_is_named_and_holds_up_only_its_day(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    retain(store)
    if not deletes(store):
        pytest.skip("TimescaleDB still has the samples")
    path = archive.folder / archive.files()[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)
    with pytest.raises(DamagedArchiveError, match=r"2026-01-05\.parquet .* Restore this file"):
        store.samples.read(*ALL)
    assert store.samples.read(T0 + DAY, END).height == 14
    for day in (0, 1):
        store.samples.write(samples_of(series[0], [3.5], T0 + day * DAY + timedelta(hours=3)))
    retain(store)
    wait = store.archive.summary().wait
    assert wait is not None
    assert (wait.days, wait.first, wait.last) == (1, FIRST, FIRST)
    assert store.samples.read(T0 + DAY, END).height == 15
    path.unlink()
    with pytest.raises(DamagedArchiveError, match="it is missing"):
        store.samples.read(*ALL)


def test_a_check_names_each_damaged_file_and_forgetting_its_day_is_the_remedy(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    retain(store)
    if not deletes(store):
        pytest.skip("TimescaleDB still has the samples")
    later = platform_of(store, FixedClock(NOW + DAY))
    assert check_archive(later) == ArchiveCheck(days=3, damaged=())
    assert store.archive.summary().verified_at == NOW + DAY
    (archive.folder / archive.files()[1]).write_bytes(b"PAR1")
    report = check_archive(later)
    assert report.days == 3
    (damaged,) = report.damaged
    assert "2026-01-06.parquet cannot be used: it cannot be read as Parquet" in damaged
    assert "`forewarn archive forget 2026-01-06` gives up its samples" in damaged
    second = FIRST + DAY
    assert forget_days(later, second, second) == 1
    assert store.samples.read(*ALL).height == 14
    assert check_archive(later).days == len(archive.files()) == 2
    with pytest.raises(NotFoundError, match="no day from 2026-01-06"):
        forget_days(later, second, second)
    # a late sample of that day is archived like any other
    store.samples.write(samples_of(series[0], [1.0], T0 + DAY))
    retain(store)
    assert check_archive(later).days == 3


def test_without_an_archive_there_is_nothing_to_check(pool: Pool) -> None:
    with pytest.raises(ConfigurationError, match="FOREWARN_ARCHIVE_URL"):
        check_archive(platform_of(Store(pool, "no_archive"), FixedClock(NOW)))


def test_tenants_have_their_own_files_and_read_only_these(pool: Pool, archive: FakeArchive) -> None:
    number = next(_NUMBERS)
    stores = [Store(pool, f"{name}{number}", archive) for name in ("Acme", "acme")]
    for value, one in enumerate(stores):
        made = make_series(one)
        one.samples.write(samples_of(made, [float(value)] * 3))
        one.samples.write(samples_of(made, [7.0], NOW))
    before = [one.samples.read(*ALL) for one in stores]
    retain(stores[0])
    assert [one.archive.summary().days for one in stores] == [1, 0]
    if deletes(stores[1]):
        assert in_database(stores[1]).equals(before[1])
    retain(stores[1])
    assert archive.files() == [
        f"tenant=%41cme{number}/2026-01-05.parquet",
        f"tenant=acme{number}/2026-01-05.parquet",
    ]
    assert all(one.samples.read(*ALL).equals(was) for one, was in zip(stores, before, strict=True))
    foreign = before[1]["series_id"].to_list()
    assert stores[0].samples.read(*ALL, foreign).is_empty()


def test_samples_of_a_removed_series_are_not_read_from_the_archive(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    retain(store)
    one, other = (made.series_id for made in series)
    store.samples.remove(one)
    assert store.samples.read(*ALL, [one]).is_empty()
    assert store.samples.read(*ALL, [other]).height == 10
    again = samples_of(series[0], [0.25] * 3)
    store.samples.write(again)
    assert store.samples.read(*ALL, [one]).equals(again)
    retain(store)
    assert store.samples.read(*ALL, [one]).equals(again)
    assert store.samples.read(*ALL, [other]).height == 10


def test_a_series_that_is_deleted_is_read_again_when_it_comes_back(
    store: Store, series: list[Series]
) -> None:
    before = store.samples.read(*ALL)
    retain(store)
    gone = series[0]
    with store._session.connection() as connection:
        connection.execute("DELETE FROM series WHERE series_id = %s", [gone.series_id])
    assert store.samples.read(*ALL).equals(before.filter(pl.col("series_id") != gone.series_id))
    store.series.register([gone])
    assert store.samples.read(*ALL).equals(before)


def test_samples_that_arrive_while_a_day_is_written_are_not_deleted_unwritten(
    store: Store, series: list[Series], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FakeArchive.put
    extra = iter(range(1, 100))

    def put_while_a_sample_arrives(self: FakeArchive, name: str, data: bytes) -> None:
        put(self, name, data)
        n = next(extra)
        if n in arrives:
            store.samples.write(samples_of(series[0], [float(n)], T0 + timedelta(hours=3) + n * STEP))

    monkeypatch.setattr(FakeArchive, "put", put_while_a_sample_arrives)
    arrives = {1, 2}
    retain(store)
    assert store.samples.read(*ALL).height == 22
    if deletes(store):
        assert in_database(store).height == 2
        arrives = set(range(100))
        store.samples.write(samples_of(series[1], [1.0], T0 + timedelta(hours=9)))
        retain(store)
        wait = store.archive.summary().wait
        assert wait is not None
        assert "arrived each time" in wait.error
        assert store.samples.read(*ALL).height == 26


def test_a_database_that_lost_its_records_takes_the_files_in(
    store: Store, series: list[Series], archive: FakeArchive
) -> None:
    before = store.samples.read(*ALL)
    retain(store)
    with store._session.connection() as connection:
        connection.execute("DELETE FROM archived_days WHERE tenant = %s", [store.tenant])
    late = samples_of(series[0], [1.5], T0 + timedelta(hours=6))
    store.samples.write(late)
    retain(store)
    of_the_day = pl.concat([before, late]).filter(pl.col("ts") < T0 + DAY).sort("series_id", "ts")
    assert store.samples.read(T0, T0 + DAY).equals(of_the_day)
    assert f"tenant={store.tenant}/2026-01-05.1.parquet" in archive.files()
    assert f"tenant={store.tenant}/2026-01-05.parquet" not in archive.files()


#: What TimescaleDB has and plain PostgreSQL does not: here, a chunk is a day.
CHUNKS = """
CREATE SCHEMA timescaledb_information;
CREATE VIEW timescaledb_information.chunks AS
    SELECT 'samples' AS hypertable_name, date_trunc('day', ts) + INTERVAL '1 day' AS range_end FROM samples;
CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text LANGUAGE sql AS
    $$ DELETE FROM samples WHERE date_trunc('day', ts) + INTERVAL '1 day' <= older_than RETURNING ts::text $$;
"""


def test_chunks_stay_until_the_archives_of_all_tenants_have_their_samples(
    server_dsn: str, archive: FakeArchive
) -> None:
    with fresh_database(server_dsn) as dsn, open_pool(dsn) as pool:
        migrate(dsn)
        with pool.connection() as connection:
            if timescale_in_use(connection):
                pytest.skip("this test makes chunks of its own")
            connection.execute(CHUNKS)
        stores = [Store(pool, f"chunks{next(_NUMBERS)}", archive) for _ in range(2)]
        for day, one in enumerate(stores):
            one.samples.write(samples_of(make_series(one), [1.0, 2.0], T0 + day * DAY))
        before = [one.samples.read(*ALL) for one in stores]
        sessions = [Session(pool, one.tenant) for one in stores]
        until = T0 + 10 * DAY

        def keep(number: int) -> None:
            """As retention does on TimescaleDB."""
            mine = sessions[number]
            files = DayFiles(archive, mine.tenant)
            Archiver(mine, SampleStore(mine), ArchivedDayStore(mine), files).move(until, NOW, delete=False)
            drop_archived_chunks(mine, until)

        keep(0)
        assert archived_until(sessions[0], until) == T0 + DAY
        assert [in_database(one).height for one in stores] == [0, 2], "the other tenant has none on that day"
        late = samples_of(make_series(stores[0]), [3.0], T0 + timedelta(hours=5))
        stores[0].samples.write(late)
        keep(1)
        assert archived_until(sessions[0], until) == T0, "a late sample is not archived yet"
        assert [in_database(one).height for one in stores] == [1, 2]
        archive.reads = 0
        assert stores[1].samples.read(*ALL).equals(before[1])
        assert archive.reads == 0, "the database still has what is archived"
        keep(0)
        assert [in_database(one).height for one in stores] == [0, 0]
        assert archive.reads, "of late samples"
        assert stores[0].samples.read(*ALL).equals(pl.concat([before[0], late]))
        assert stores[1].samples.read(*ALL).equals(before[1])
        assert archived_until(sessions[1], until) == until


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4 * 86_400_000_000 - 1), FLOATS),
        max_size=40,
        unique_by=lambda row: row[:2],
    ),
    st.lists(st.booleans(), min_size=40, max_size=40),
)
@many_examples(30)
def test_any_samples_on_any_days_are_read_as_before(
    pool: Pool, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float]], late: list[bool]
) -> None:
    number = next(_NUMBERS)
    store = Store(pool, f"any{number}", LocalArchive(tmp_path_factory.mktemp("any")))
    made = [make_series(store, f"metric{n}") for n in range(3)]
    frame = pl.DataFrame(
        [(made[n].series_id, T0 + timedelta(microseconds=us), value) for n, us, value in rows],
        schema=SAMPLES,
        orient="row",
    )
    is_late = pl.Series(late[: len(rows)], dtype=pl.Boolean)
    store.samples.write(samples_of(made[0], [0.0], NOW))
    for part in (frame.filter(~is_late), frame.filter(is_late)):
        store.samples.write(part)
        retain(store)
    read = store.samples.read(T0, NOW)
    whole = frame.sort("series_id", "ts")
    assert read.equals(whole)
    assert np.array_equal(read["value"].to_numpy().view(np.uint64), whole["value"].to_numpy().view(np.uint64))
    assert store.archive.summary().samples == len(rows)
