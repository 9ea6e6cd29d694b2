"""Writes samples to the archive and takes them out of the database, day by day.

A day is written to a new file, read back and compared. One transaction then stores that the day is archived and deletes
its samples, after it has compared what it deletes with what was written. A crash before that leaves the samples in the
database, and a file that the next run takes in; a crash after it leaves at most files of older versions, which the next
run removes. Files of days that are archived are never changed.
"""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import polars as pl

from core.errors import ArchiveUnavailableError, DamagedArchiveError
from core.frames import SAMPLES
from pipelines.stores.archive_format import checksum_of
from pipelines.stores.archived_days import ArchivedDay, ArchivedDayStore
from pipelines.stores.archived_samples import first_of_each
from pipelines.stores.binary import frame_of_arrays, read_arrays
from pipelines.stores.day_files import DayFiles
from pipelines.stores.samples import SampleStore
from pipelines.stores.session import Session

_DAY = timedelta(days=1)
#: Samples that arrive for a day while it is archived make it begin again. Late samples come in batches, minutes apart.
_TRIES = 3


class _ChangedMeanwhileError(Exception):
    """The samples of a day are not those that were written any more."""


class Archiver:
    """The archiver of one tenant. One process at a time may use it."""

    def __init__(
        self, session: Session, samples: SampleStore, days: ArchivedDayStore, files: DayFiles
    ) -> None:
        self._session = session
        self._samples = samples
        self._days = days
        self._files = files

    def move(self, before: datetime, now: datetime, *, delete: bool) -> int:
        """Archive all samples before a moment. What cannot be archived stays, and `ArchivedDayStore.waits` keeps why.

        Args:
            before: the beginning of a day (UTC).
            delete: whether the archived samples are deleted.
        Returns:
            How many were deleted.
        """
        with suppress(ArchiveUnavailableError):  # the next run tries again
            for archived in self._days.superseded():
                self._remove_superseded(archived)
        days = self._days.not_archived(before)
        waiting: list[date] = []
        errors: list[str] = []
        deleted = 0
        for place, day in enumerate(days):
            try:
                deleted += self._move_day(day, now, delete=delete)
            except DamagedArchiveError as error:  # the files of other days may be good
                waiting.append(day)
                errors.append(str(error))
            except ArchiveUnavailableError as error:
                waiting += days[place:]
                errors.append(str(error))
                break
        self._days.waits(waiting, errors[0] if errors else "", now)
        return deleted

    def _move_day(self, day: date, now: datetime, *, delete: bool) -> int:
        """Archive a day; returns how many samples were deleted."""
        for _ in range(_TRIES):
            try:
                return self._try_day(day, now, delete=delete)
            except _ChangedMeanwhileError:
                continue
        raise ArchiveUnavailableError(
            f"samples of {day} arrived each time while they were written to the archive"
        )

    def _try_day(self, day: date, now: datetime, *, delete: bool) -> int:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        stored = self._samples.read(start, start + _DAY)
        written = self._write(day, stored, now, rows_left=0 if delete else stored.height)
        with self._session.atomically():
            if delete and checksum_of(self._take(start)) != checksum_of(stored):
                raise _ChangedMeanwhileError
            self._days.put(written)
        with suppress(ArchiveUnavailableError):  # the next run tries again
            self._remove_superseded(written)
        return stored.height if delete else 0

    def _write(self, day: date, stored: pl.DataFrame, now: datetime, *, rows_left: int) -> ArchivedDay:
        """Write the samples of a day to a new file, with those that are archived already, and verify it."""
        known = self._days.get(day)
        parts = []
        version, superseded_from, removed = 0, None, frozenset[int]()
        if known is not None:
            parts.append(self._files.read(day, known.version, known.checksum))
            version, removed = known.version + 1, known.removed
            superseded_from = known.version if known.superseded_from is None else known.superseded_from
        # What a killed run left, or one whose database was lost, may have samples that nothing else has.
        while (left := self._files.find(day, version)) is not None:
            parts.append(left)
            superseded_from = version if superseded_from is None else superseded_from
            version += 1
        valid = [part.filter(~pl.col("series_id").is_in(sorted(removed))) for part in parts]
        content = first_of_each([*valid, stored]) if valid else stored
        return ArchivedDay(
            day=day,
            version=version,
            samples=content.height,
            size_bytes=self._files.write(day, version, content),
            checksum=checksum_of(content),
            rows_left=rows_left,
            removed=removed,
            superseded_from=superseded_from,
            verified_at=now,
        )

    def _take(self, start: datetime) -> pl.DataFrame:
        """Delete the samples of a day; returns them."""
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            read_arrays(cursor)
            cursor.execute(
                "WITH gone AS (DELETE FROM samples WHERE ts >= %(start)s AND ts < %(end)s"
                " AND series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s)"
                " RETURNING series_id, ts, value)"
                " SELECT series_id, array_agg(ts), array_agg(value) FROM gone GROUP BY series_id",
                {"tenant": self._session.tenant, "start": start, "end": start + _DAY},
            )
            rows = cursor.fetchall()
        return frame_of_arrays(rows, SAMPLES)

    def _remove_superseded(self, day: ArchivedDay) -> None:
        if day.superseded_from is None:
            return
        for version in range(day.superseded_from, day.version):
            self._files.remove(day.day, version)
        self._days.cleaned(day)
