"""Where the files of the archive are: a folder of this machine, or S3. Files are written once and never changed."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from core.archive import archive_place
from core.errors import ArchiveUnavailableError
from core.settings import Settings

#: Of one request to S3. A file of a day has a few MB.
_CONNECT_S, _REQUEST_S = 5, 30
_ATTEMPTS = 4


class ArchiveFiles(Protocol):
    """Files by their name, such as `tenant=acme/2026-03-01.parquet`."""

    @property
    def where(self) -> str:
        """The folder, or the URL of the prefix, for people."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, so that it outlives a crash of the machine.

        Raises:
            ArchiveUnavailableError: it cannot be written.
        """
        ...

    def get(self, name: str) -> bytes | None:
        """The content of a file; null: there is none of that name.

        Raises:
            ArchiveUnavailableError: it cannot be read.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it exists.

        Raises:
            ArchiveUnavailableError: it cannot be removed.
        """
        ...


def configured_archive(settings: Settings) -> ArchiveFiles | None:
    """The archive that the settings name; null: none. Nothing is connected or created yet."""
    if settings.archive_url is None:
        return None
    place = archive_place(settings.archive_url)
    if place.bucket is None:
        return LocalArchive(Path(place.path))
    return S3Archive(f"{place.bucket}/{place.path}", settings.archive_endpoint_url)


class LocalArchive:
    """Files below a folder (`ArchiveFiles`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        return str(self._folder)

    def put(self, name: str, data: bytes) -> None:
        path = self._folder / name
        temporary = path.with_name(
            f".{path.name}.tmp"
        )  # what a killed run leaves is overwritten by the next one
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            for folder in (path.parent, self._folder):
                _sync_folder(folder)
        except OSError as error:
            raise ArchiveUnavailableError(f"{path} cannot be written: {_reason(error)}") from error

    def get(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveUnavailableError(f"{path} cannot be read: {_reason(error)}") from error

    def remove(self, name: str) -> None:
        path = self._folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveUnavailableError(f"{path} cannot be removed: {_reason(error)}") from error


class S3Archive:
    """Objects below a prefix of a bucket (`ArchiveFiles`).

    Credentials and region come from where AWS's own tools find them: variables, a profile, or the role of the machine.
    """

    def __init__(self, prefix: str, endpoint_url: str | None = None) -> None:
        self._prefix = prefix.rstrip("/")
        self._endpoint_url = endpoint_url

    @cached_property
    def _bucket(self) -> Any:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            endpoint_override=self._endpoint_url,
            connect_timeout=_CONNECT_S,
            request_timeout=_REQUEST_S,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            allow_delayed_open=True,  # one request for a small object, in place of a multipart upload
        )

    @property
    def where(self) -> str:
        return f"s3://{self._prefix}"

    def put(self, name: str, data: bytes) -> None:
        try:
            with self._bucket.open_output_stream(f"{self._prefix}/{name}") as stream:
                stream.write(data)
        except OSError as error:
            raise ArchiveUnavailableError(f"{self.where}/{name} cannot be written: {error}") from error

    def get(self, name: str) -> bytes | None:
        try:
            with self._bucket.open_input_stream(f"{self._prefix}/{name}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveUnavailableError(f"{self.where}/{name} cannot be read: {error}") from error

    def remove(self, name: str) -> None:
        try:
            self._bucket.delete_file(f"{self._prefix}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArchiveUnavailableError(f"{self.where}/{name} cannot be removed: {error}") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _sync_folder(folder: Path) -> None:
    """Write the names of the files in a folder to the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
