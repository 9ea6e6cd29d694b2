"""An archive that can be looked at and can fail, and stores that use it."""

from datetime import timedelta
from pathlib import Path

import polars as pl
from fakes.rows import T0, make_series, samples_of

from core.domain import Series
from core.errors import ArchiveUnavailableError
from core.settings import Settings
from pipelines.stores.archive_files import LocalArchive
from pipelines.stores.store import Store
from pipelines.stores.timescale import timescale_in_use

DAY = timedelta(days=1)
NOW = T0 + timedelta(days=40)
END = NOW + DAY
ALL = (T0 - 400 * DAY, END)


class FakeArchive(LocalArchive):
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


def three_old_days(store: Store) -> list[Series]:
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
