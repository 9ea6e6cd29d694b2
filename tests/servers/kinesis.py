"""Kinesis as moto's server has it. Closed shards are corrected: moto never ends them, and moves their records."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.kinesis import models, utils
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
STREAM = "metrics"

# moto takes any credentials. Processes that tests start inherit these.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")


class KinesisBroker:
    """A stream with one shard."""

    def __init__(self, _folder: Path) -> None:
        self._corrections = pytest.MonkeyPatch()
        self._corrections.setattr(models.Stream, "split_shard", _split_shard)
        self._corrections.setattr(models.Stream, "merge_shards", _merge_shards)
        self._corrections.setattr(models.Stream, "get_shard_for_key", _open_shard_for_key)
        self._corrections.setattr(models.KinesisBackend, "get_records", _get_records)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.hosts = REGION
        self.endpoint = f"http://{host}:{port}"
        self.url = f"kinesis://{REGION}/{STREAM}?endpoint={self.endpoint}&"
        self.client = boto3.client("kinesis", REGION, endpoint_url=self.endpoint)
        self.create()

    def create(self) -> None:
        """Create the stream."""
        self.client.create_stream(StreamName=STREAM, ShardCount=1)

    def shard(self, number: int) -> Any:
        """What moto knows about a shard."""
        return models.kinesis_backends[DEFAULT_ACCOUNT_ID][REGION].streams[STREAM].shards[_name(number)]

    def send(self, bodies: Sequence[bytes], shard: int = 0) -> None:
        key = str(self.shard(shard).starting_hash)
        for body in bodies:
            self.client.put_record(StreamName=STREAM, Data=body, PartitionKey="a", ExplicitHashKey=key)

    def split(self, number: int) -> None:
        """Close a shard. Its two children get what is sent then."""
        shard = self.shard(number)
        middle = (shard.starting_hash + shard.ending_hash) // 2
        self.client.split_shard(StreamName=STREAM, ShardToSplit=_name(number), NewStartingHashKey=str(middle))

    def merge(self, number: int, other: int) -> None:
        """Close two shards. Their child gets what is sent then."""
        self.client.merge_shards(
            StreamName=STREAM, ShardToMerge=_name(number), AdjacentShardToMerge=_name(other)
        )

    def stop(self) -> None:
        self.client.delete_stream(StreamName=STREAM)
        self._corrections.undo()
        self._server.stop()
        self.client.close()


def _name(number: int) -> str:
    return f"shardId-{number:012}"


def _split_shard(stream: models.Stream, shard_to_split: str, new_starting_hash_key: str) -> None:
    """Close the shard and leave its records in it."""
    shard, middle, number = stream.shards[shard_to_split], int(new_starting_hash_key), len(stream.shards)
    for start, end in ((shard.starting_hash, middle - 1), (middle, shard.ending_hash)):
        child = models.Shard(number, start, end, parent=shard.shard_id)
        stream.shards[child.shard_id], number = child, number + 1
    shard.is_open = False


def _merge_shards(stream: models.Stream, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
    """Close both shards and leave their records in them."""
    one, other = stream.shards[shard_to_merge], stream.shards[adjacent_shard_to_merge]
    child = models.Shard(
        len(stream.shards), one.starting_hash, other.ending_hash, one.shard_id, other.shard_id
    )
    stream.shards[child.shard_id] = child
    one.is_open = other.is_open = False


def _open_shard_for_key(stream: models.Stream, _partition_key: str, explicit_hash_key: str) -> models.Shard:
    key = int(explicit_hash_key)
    return next(
        one for one in stream.shards.values() if one.is_open and one.starting_hash <= key <= one.ending_hash
    )


_moto_records = models.KinesisBackend.get_records


def _get_records(
    backend: models.KinesisBackend, stream_arn: str | None, shard_iterator: str, limit: int | None
) -> tuple[str | None, list[models.Record], int]:
    """The last records of a closed shard come without an iterator for the next ones."""
    following, records, behind = _moto_records(backend, stream_arn, shard_iterator, limit)
    stream, shard, after = utils.decompose_shard_iterator(following)
    found = backend.streams[stream].shards[shard]
    ends = not found.is_open and int(after) >= found.get_max_sequence_number()
    return None if ends else following, records, behind
