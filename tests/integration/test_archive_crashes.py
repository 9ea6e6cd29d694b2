"""A retention that is killed at any step of its archive loses and doubles nothing."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from fakes.archive import ALL, DAY, FakeArchive, deletes, in_database, retain, three_old_days
from fakes.rows import T0, samples_of

from core.domain import Series
from pipelines.stores.archived_days import ArchivedDayStore
from pipelines.stores.archiver import Archiver
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

_NUMBERS = count()


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    return FakeArchive(tmp_path / "archive")


@pytest.fixture
def store(pool: Pool, archive: FakeArchive) -> Store:
    return Store(pool, f"killed{next(_NUMBERS)}", archive)


@pytest.fixture
def series(store: Store) -> list[Series]:
    return three_old_days(store)


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
    (FakeArchive, "put"),
    (FakeArchive, "get"),
    (Archiver, "_take"),
    (ArchivedDayStore, "put"),
    (FakeArchive, "remove"),
    (ArchivedDayStore, "cleaned"),
    (ArchivedDayStore, "waits"),
]


@pytest.mark.parametrize("late", [False, True], ids=["first", "late"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[f"{owner.__name__}.{step}" for owner, step in STEPS])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    store: Store,
    series: list[Series],
    archive: FakeArchive,
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
