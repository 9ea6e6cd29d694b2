"""The files of one tenant in the archive: one for each day (UTC), under a name that no other tenant can have."""

import string
from datetime import date

import polars as pl

from core.errors import ArchiveUnavailableError, DamagedArchiveError
from pipelines.stores.archive_files import ArchiveFiles
from pipelines.stores.archive_format import NotWhatWasWrittenError, checksum_of, decode, encode

#: Others become `%` and two digits. Capitals too: file systems that ignore case would join two tenants.
_PLAIN = frozenset((string.ascii_lowercase + string.digits + "._-").encode())


def day_file(tenant: str, day: date, version: int) -> str:
    """The name of a file below the archive.

    Args:
        version: 0 first; a day that is written again gets the next one, because files are never changed.

    Examples:
        >>> day_file("acme", date(2026, 3, 1), 0), day_file("Acme/..", date(2026, 3, 1), 2)
        ('tenant=acme/2026-03-01.parquet', 'tenant=%41cme%2f../2026-03-01.2.parquet')
    """
    folder = "".join(chr(one) if one in _PLAIN else f"%{one:02x}" for one in tenant.encode())
    return f"tenant={folder}/{day.isoformat()}{f'.{version}' if version else ''}.parquet"


class DayFiles:
    """The files of one tenant."""

    def __init__(self, files: ArchiveFiles, tenant: str) -> None:
        self._files = files
        self._tenant = tenant

    def write(self, day: date, version: int, frame: pl.DataFrame) -> int:
        """Write a file, read it back and compare it.

        Args:
            frame: `SAMPLES`, by series_id, ts.
        Returns:
            Its size in bytes.
        Raises:
            ArchiveUnavailableError: it cannot be written, or came back as something else.
        """
        data = encode(frame, self._tenant, day)
        name = day_file(self._tenant, day, version)
        self._files.put(name, data)
        try:
            back = self.find(day, version)
        except DamagedArchiveError as error:
            raise ArchiveUnavailableError(str(error)) from error
        if back is None or checksum_of(back) != checksum_of(frame):
            raise ArchiveUnavailableError(f"{self._files.where}/{name} was written and came back changed")
        return len(data)

    def find(self, day: date, version: int) -> pl.DataFrame | None:
        """The samples of a file, which verifies itself; null: there is no such file.

        Raises:
            DamagedArchiveError: it is not what was written.
            ArchiveUnavailableError: it cannot be read.
        """
        name = day_file(self._tenant, day, version)
        data = self._files.get(name)
        if data is None:
            return None
        try:
            return decode(data, self._tenant, day)
        except NotWhatWasWrittenError as error:
            raise self._damaged(name, day, str(error)) from error

    def read(self, day: date, version: int, checksum: str) -> pl.DataFrame:
        """The samples of a file that is known to exist.

        Raises:
            DamagedArchiveError: it is missing, or is not what was written.
            ArchiveUnavailableError: it cannot be read.
        """
        frame = self.find(day, version)
        name = day_file(self._tenant, day, version)
        if frame is None:
            raise self._damaged(name, day, "it is missing")
        if checksum_of(frame) != checksum:
            raise self._damaged(name, day, "it has other samples than were archived")
        return frame

    def remove(self, day: date, version: int) -> None:
        """Remove a file, if it exists."""
        self._files.remove(day_file(self._tenant, day, version))

    def _damaged(self, name: str, day: date, reason: str) -> DamagedArchiveError:
        return DamagedArchiveError(
            f"the archived file {self._files.where}/{name} cannot be used: {reason}. Restore this file from a backup;"
            f" without one, `forewarn archive forget {day}` gives up its samples"
        )
