"""The archive of one tenant: what it has, whether its files are whole, and how days leave it."""

from dataclasses import replace
from datetime import date, datetime

from core.archive import ArchiveCheck, ArchiveSummary
from core.errors import ConfigurationError, DamagedArchiveError
from pipelines.stores.archived_days import ArchivedDayStore
from pipelines.stores.archived_samples import content_of
from pipelines.stores.day_files import DayFiles


class TenantArchive:
    """The archive of one tenant (`core.archive.ArchiveRepository`)."""

    def __init__(self, days: ArchivedDayStore, files: DayFiles | None) -> None:
        """Args:
        files: null: the settings name no archive.
        """
        self._days = days
        self._files = files

    def summary(self) -> ArchiveSummary:
        """What the archive has, and which days wait for it."""
        return self._days.summary()

    def check(self, now: datetime) -> ArchiveCheck:
        """Read each file and compare it with what was archived.

        Raises:
            ConfigurationError: the settings name no archive.
            ArchiveUnavailableError: the archive cannot be read now.
        """
        if self._files is None:
            raise ConfigurationError("there is no archive to check: FOREWARN_ARCHIVE_URL is not set")
        damaged = []
        days = self._days.all()
        for day in days:
            try:
                good, _ = content_of(day, self._days, self._files)
            except DamagedArchiveError as error:
                damaged.append(str(error))
            else:
                self._days.verified(replace(good, verified_at=now))
        return ArchiveCheck(days=len(days), damaged=tuple(damaged))

    def forget(self, first: date, last: date) -> int:
        """Remove the archived days from `first` to `last`, with their files; returns how many there were.

        Raises:
            ArchiveUnavailableError: a file cannot be removed now.
        """
        days = [day for day in self._days.all() if first <= day.day <= last]
        for day in days:
            if self._files is not None:
                oldest = day.version if day.superseded_from is None else day.superseded_from
                for version in range(oldest, day.version + 1):
                    self._files.remove(day.day, version)
            self._days.forget(day)
        return len(days)
