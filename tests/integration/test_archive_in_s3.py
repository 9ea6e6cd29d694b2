"""The archive in S3: a server of moto stands in for AWS."""

from collections.abc import Iterator

import boto3
import pytest
from servers.aws import aws_server, empty_aws

from core.errors import ArchiveUnavailableError
from core.settings import Settings
from pipelines.stores.archive_files import ArchiveFiles, configured_archive

NAME = "tenant=%41cme/2026-03-01.parquet"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_server() as url:
        yield url


@pytest.fixture
def files(server: str, monkeypatch: pytest.MonkeyPatch) -> ArchiveFiles:
    """The archive in a bucket of its own."""
    empty_aws(server, monkeypatch)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    boto3.client("s3", "us-east-1", endpoint_url=server).create_bucket(Bucket="metrics")
    return archive_at("s3://metrics/forewarn", server)


def archive_at(url: str, server: str) -> ArchiveFiles:
    files = configured_archive(Settings(_env_file=None, archive_url=url, archive_endpoint_url=server))
    assert files is not None
    return files


@pytest.mark.parametrize("size", [0, 1, 3_000_000, 30_000_000])
def test_a_file_comes_back_as_it_was_written(files: ArchiveFiles, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert files.get(NAME) is None
    files.put(NAME, data[:size])
    assert files.get(NAME) == data[:size]
    files.remove(NAME)
    files.remove(NAME)
    assert files.get(NAME) is None


def test_the_key_in_the_bucket_is_the_name_below_the_prefix(files: ArchiveFiles, server: str) -> None:
    files.put(NAME, b"data")
    listed = boto3.client("s3", "us-east-1", endpoint_url=server).list_objects_v2(Bucket="metrics")
    assert [one["Key"] for one in listed["Contents"] if one["Size"]] == [f"forewarn/{NAME}"]


def test_a_bucket_that_does_not_exist_is_named(files: ArchiveFiles, server: str) -> None:
    other = archive_at("s3://nowhere/forewarn", server)
    with pytest.raises(
        ArchiveUnavailableError, match=r"s3://nowhere/forewarn/tenant=%41cme/.* cannot be written"
    ):
        other.put(NAME, b"data")


def test_a_server_that_is_down_is_an_archive_that_cannot_be_used(files: ArchiveFiles) -> None:
    down = archive_at("s3://metrics/forewarn", "http://127.0.0.1:1")
    with pytest.raises(ArchiveUnavailableError, match=f"{NAME} cannot be written"):
        down.put(NAME, b"data")
    with pytest.raises(ArchiveUnavailableError, match=f"{NAME} cannot be read"):
        down.get(NAME)
    with pytest.raises(ArchiveUnavailableError, match=f"{NAME} cannot be removed"):
        down.remove(NAME)
