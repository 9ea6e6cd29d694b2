"""The archive of raw samples: where it is, what it has, and which days wait for it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePlace:
    """Where the files are.

    Attributes:
        bucket: of S3; null: a folder of this machine.
        path: of the folder, or the prefix in the bucket, without slashes at its ends.
    """

    bucket: str | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWait:
    """Days whose samples could not be archived, so that they were not deleted.

    Attributes:
        since: when the first of them could not be archived.
        days: how many.
        error: why, one sentence without a full stop.
    """

    since: datetime
    first: date
    last: date
    days: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """What the archive of a tenant has.

    Attributes:
        days: each has one file.
        first, last: the first and the last day; null: there is none.
        verified_at: since when every file is known to be whole; null: there is none.
        wait: null: no day waits.
    """

    days: int
    samples: int
    size_bytes: int
    first: date | None
    last: date | None
    verified_at: datetime | None
    wait: ArchiveWait | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveCheck:
    """The result of reading all files.

    Attributes:
        damaged: one sentence for each file that is missing or not what was written.
    """

    days: int
    damaged: tuple[str, ...]


class ArchiveRepository(Protocol):
    def summary(self) -> ArchiveSummary:
        """What the archive has, and which days wait for it."""
        ...

    def check(self, now: datetime) -> ArchiveCheck:
        """Read each file and compare it with what was archived.

        Raises:
            ConfigurationError: the settings name no archive.
            ArchiveUnavailableError: the archive cannot be read now.
        """
        ...

    def forget(self, first: date, last: date) -> int:
        """Remove the archived days from `first` to `last`, with their files; returns how many there were.

        Raises:
            ArchiveUnavailableError: a file cannot be removed now.
        """
        ...


def archive_place(url: str) -> ArchivePlace:
    """Where a URL or the path of a folder points to.

    Raises:
        ValueError: it is none of these; the text does not repeat it, because it may contain a secret.

    Examples:
        >>> archive_place("s3://metrics/forewarn/")
        ArchivePlace(bucket='metrics', path='forewarn')
        >>> archive_place("file:///srv/archive").path, archive_place("data/archive").path
        ('/srv/archive', 'data/archive')
    """
    if "://" not in url:
        return ArchivePlace(bucket=None, path=url)
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "give the place alone, such as s3://bucket/prefix; credentials and the region come from the usual"
            " variables of AWS, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"
        )
    if parts.scheme == "s3" and parts.netloc:
        return ArchivePlace(bucket=parts.netloc, path=parts.path.strip("/"))
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.strip("/"):
        return ArchivePlace(bucket=None, path=unquote(parts.path))
    raise ValueError("give the path of a folder, file:///FOLDER or s3://BUCKET/PREFIX")
