"""The archive: samples that retention takes out of the database are read as if they were still there."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pytest
from any_float import FLOATS, many_examples
from fakes.platform import platform_of
from fakes.rows import STEP, T0, make_series, samples_of
from hypothesis import given
from hypothesis import strategies as st

from core.clock import FixedClock
from core.domain import Series
from core.errors import ArchiveUnavailableError, DamagedArchiveError
from core.frames import SAMPLES
from core.settings import Settings
from pipelines.operate.retention import apply_retention
from pipelines.operate.status_of_archive import archive as archive_status
from pipelines.stores.archive_files import LocalArchive
from pipelines.stores.archived_days import ArchivedDayStore
from pipelines.stores.archiver import Archiver
from pipelines.stores.chunks import archived_until
from pipelines.stores.session import Pool, Session
from pipelines.stores.store import Store
from pipelines.stores.timescale import timescale_in_use

DAY = timedelta(days=1)
FIRST = date(2026, 1, 5)
NOW = T0 + timedelta(days=40)
END = NOW + DAY
ALL = (T0 - 400 * DAY, END)
_NUMBERS = count()


class Archive(LocalArchive):
    """Counts what is read, and can fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.reads = 0
        self.is_down = False

    def put(self, name: str, data: bytes) -> None:
        self._check()
        super().put(name, data)

    def get(self, name: str) -> bytes | None:
        self._check()
        self.reads += 1
        return super().get(name)

    def remove(self, name: str) -> None:
        self._check()
        super().remove(name)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def _check(self) -> None:
        if self.is_down:
            raise ArchiveUnavailableError("the archive is down")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def store(pool: Pool, archive: Archive) -> Store:
    return Store(pool, f"archived{next(_NUMBERS)}", archive)


@pytest.fixture
def series(store: Store) -> list[Series]:
    """Two series with samples on each of three old days and now."""
    two = [make_series(store, name) for name in ("a", "b")]
    for n, one in enumerate(two):
        for day in range(3):
            store.samples.write(samples_of(one, [10.0 * n + day, -0.0, 5e-324], T0 + day * DAY))
        store.samples.write(samples_of(one, [7.0], NOW))
    return two


def retain(store: Store) -> dict[str, int]:
    return dict(store.retention.apply(Settings(_env_file=None), NOW))


def in_database(store: Store) -> pl.DataFrame:
    return Store(store._session.pool, store.tenant).samples.read(*ALL)


def deletes(store: Store) -> bool:
    """Whether retention deletes rows here; TimescaleDB drops whole chunks."""
    with store._session.connection() as connection:
        return not timescale_in_use(connection)


def test_what_is_archived_is_read_exactly_as_before(
    store: Store, series: list[Series], archive: Archive
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


def test_a_second_run_changes_nothing(store: Store, series: list[Series], archive: Archive) -> None:
    retain(store)
    before, files = store.samples.read(*ALL), archive.files()
    reads = archive.reads
    assert retain(store) == {}
    assert archive.reads == reads
    assert (archive.files(), store.archive.summary().days) == (files, 3)
    assert store.samples.read(*ALL).equals(before)


def test_a_read_of_recent_samples_does_not_touch_the_archive(
    store: Store, series: list[Series], archive: Archive
) -> None:
    retain(store)
    archive.is_down = True
    assert store.samples.read(T0 + 3 * DAY, END).height == 2
    if deletes(store):
        with pytest.raises(ArchiveUnavailableError):
            store.samples.read(T0 + 3 * DAY - STEP, END)


def test_late_samples_join_the_file_of_their_day(
    store: Store, series: list[Series], archive: Archive
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


class KilledError(BaseException):
    """The process ends here."""


def stop_before(name: str) -> Callable[..., None]:
    def killed(*_: object, **__: object) -> None:
        raise KilledError(name)

    return killed


def stop_after(method: Callable[..., object]) -> Callable[..., None]:
    def killed(*arguments: object, **rest: object) -> None:
        method(*arguments, **rest)
        raise KilledError

    return killed


STEPS: list[tuple[type, str]] = [
    (Archive, "put"),
    (Archive, "get"),
    (Archiver, "_take"),
    (ArchivedDayStore, "put"),
    (Archive, "remove"),
    (ArchivedDayStore, "cleaned"),
    (ArchivedDayStore, "waits"),
]


@pytest.mark.parametrize("late", [False, True], ids=["first", "late"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[f"{owner.__name__}.{step}" for owner, step in STEPS])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    store: Store,
    series: list[Series],
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    step: str,
    moment: str,
    late: bool,
) -> None:
    if late:
        retain(store)
        store.samples.write(samples_of(series[1], [3.5], T0 + DAY + timedelta(hours=3)))
    before = store.samples.read(*ALL)
    method = getattr(owner, step)
    with monkeypatch.context() as broken:
        broken.setattr(owner, step, stop_before(step) if moment == "before" else stop_after(method))
        try:
            retain(store)
        except KilledError:
            pass
        else:  # only a day that is written again has files to remove
            assert step in ("remove", "cleaned", "_take")
    assert store.samples.read(*ALL).equals(before)
    retain(store)
    assert store.samples.read(*ALL).equals(before)
    if deletes(store):
        assert in_database(store).height == 2
    assert len(archive.files()) == 3
    retain(store)
    assert len(archive.files()) == 3


def test_while_the_archive_is_down_nothing_is_deleted_and_status_tells_it(
    store: Store, series: list[Series], archive: Archive
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
    store: Store, series: list[Series], archive: Archive
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


def test_tenants_have_their_own_files_and_read_only_these(pool: Pool, archive: Archive) -> None:
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
    store: Store, series: list[Series], archive: Archive
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
    put = Archive.put
    extra = iter(range(1, 100))

    def put_while_a_sample_arrives(self: Archive, name: str, data: bytes) -> None:
        put(self, name, data)
        n = next(extra)
        if n in arrives:
            store.samples.write(samples_of(series[0], [float(n)], T0 + timedelta(hours=3) + n * STEP))

    monkeypatch.setattr(Archive, "put", put_while_a_sample_arrives)
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
    store: Store, series: list[Series], archive: Archive
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


def test_chunks_stay_until_the_archives_of_all_tenants_have_their_samples(
    pool: Pool, archive: Archive, dsn: str
) -> None:
    """The look that TimescaleDB's chunks need works on plain tables, too."""
    stores = [Store(pool, f"chunks{next(_NUMBERS)}", archive) for _ in range(2)]
    early = T0 - 3000 * DAY
    for day, one in enumerate(stores):
        one.samples.write(samples_of(make_series(one), [1.0], early + day * DAY))
        one.samples.write(samples_of(make_series(one), [1.0], NOW))
    session = Session(pool, "any")
    until = early + 10 * DAY
    assert archived_until(session, until) == early
    days = ArchivedDayStore(Session(pool, stores[0].tenant))
    Archiver(
        stores[0]._session,
        Store(pool, stores[0].tenant).samples,
        days,
        stores[0].retention._archiver._files,  # type: ignore[arg-type, union-attr]
    ).move(until, NOW, delete=False)
    assert archived_until(session, until) == early + DAY
    stores[0].samples.write(samples_of(make_series(stores[0]), [1.0], early + STEP))
    assert archived_until(session, until) == early, "a late sample is not archived yet"
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM samples WHERE ts < %s", [until])


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
