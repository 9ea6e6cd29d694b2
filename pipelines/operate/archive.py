"""Check the files of the archive, and give archived days up."""

from datetime import date

from core.archive import ArchiveCheck
from core.errors import NotFoundError
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.tenant_platform import Platform


def check_archive(platform: Platform) -> ArchiveCheck:
    """Read each file of the archive and compare it with what was archived.

    Raises:
        ConfigurationError: the settings name no archive.
        ArchiveUnavailableError: the archive cannot be read now.
    """
    return platform.store.archive.check(platform.clock.now())


@one_at_a_time("retention")
def forget_days(platform: Platform, first: date, last: date) -> int:
    """Remove archived days with their files, for good; returns how many.

    Raises:
        NotFoundError: none of these days is archived.
        ArchiveUnavailableError: a file cannot be removed now.
    """
    count = platform.store.archive.forget(first, last)
    if not count:
        raise NotFoundError(f"no day from {first} to {last} is archived")
    return count
