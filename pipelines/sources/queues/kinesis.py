"""Reads a stream of Amazon Kinesis. Kinesis does not divide the shards, so one consumer reads all of them.

A shard that was split or merged is closed, and its children hold what came after it. They are read after the closed
shard is read to its end, so that the messages of one key keep their order.

References:
    https://docs.aws.amazon.com/streams/latest/dev/developing-consumers-with-sdk.html
    https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from core.errors import ConfigurationError, InputError, UnavailableError
from pipelines.sources.aws import aws_client, aws_failures
from pipelines.sources.queues.queue_address import QueueAddress
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Fetched, Message, StoredPosition

#: Records of one call. Kinesis returns at most 10 MB, which are in memory at once.
MAX_RECORDS = 1_000
#: Kinesis allows five calls a second for each shard.
PAUSE_S = 0.2
#: A shard that is throttled, by us or by other consumers of the stream, is left alone for so long.
THROTTLED_S = 1.0
#: The first bytes of records that the Kinesis Producer Library has put several messages into.
_AGGREGATED = b"\xf3\x89\x9a\xc2"
_TITLE = "Kinesis"


class KinesisQueue:
    """A stream (`pipelines.sources.queues.queue_port.Queue`)."""

    shares = False

    def __init__(self, address: QueueAddress) -> None:
        self.address = address

    @contextmanager
    def connect(self, stored: StoredPosition, *, joins_group: bool) -> Iterator["KinesisConsumer"]:
        """Connect; see `Queue.connect`."""
        try:
            client = aws_client(
                "kinesis",
                _TITLE,
                region=self.address.hosts,
                endpoint_url=self.address.endpoint or None,
                needed_by="reading Kinesis",
            )
        except InputError as error:
            raise ConfigurationError(str(error)) from error
        consumer = KinesisConsumer(client, self.address, stored)
        try:
            consumer.start()
            yield consumer
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class _Position:
    """A record that is stored.

    Attributes:
        sequence: its number, which grows within a shard; 0: what was before the oldest record is reported as lost.
        at: when Kinesis took it.
        created: when the stream was created.
    """

    sequence: int
    at: datetime
    created: datetime

    @property
    def text(self) -> str:
        return f"{self.sequence} {self.at.isoformat()} {self.created.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> "_Position":
        sequence, at, created = text.split()
        return cls(int(sequence), datetime.fromisoformat(at), datetime.fromisoformat(created))


@dataclass(slots=True)
class _Shard:
    """How far a shard is read.

    Attributes:
        parents: the shards that were split or merged into it.
        iterator: names the next records; null: it has to be asked for.
        after: only records with larger sequence numbers are new.
        is_trimmed: Kinesis has deleted the stored record, so that later ones may be deleted too.
        is_finished: the shard is closed and read to its end.
        is_at_end: the last call returned nothing, and nothing waits.
        due: when the shard may be read again, in seconds of the monotonic clock.
        reports: of faults, which were not returned yet.
    """

    name: str
    parents: tuple[str, ...]
    iterator: str | None = None
    after: int = 0
    is_trimmed: bool = False
    is_finished: bool = False
    is_at_end: bool = False
    due: float = 0.0
    reports: list[Message] = field(default_factory=list)


class KinesisConsumer:
    """The only consumer of a stream (`QueueConsumer`).

    Args:
        client: of boto3.
    """

    def __init__(self, client: Any, address: QueueAddress, stored: StoredPosition) -> None:
        self._client = client
        self._faults = client.exceptions
        self._place = address.place
        self._stream = address.path[0]
        self._stored = stored
        self._created = datetime.max.replace(tzinfo=UTC)
        self._retention = timedelta.max
        self._shards: dict[str, _Shard] = {}
        #: The shards in the order in which they are read next.
        self._turns: deque[_Shard] = deque()

    def start(self) -> None:
        """Find the stream and its shards."""
        with self._errors("kinesis:DescribeStreamSummary"):
            answer = self._client.describe_stream_summary(StreamName=self._stream)
        summary = answer["StreamDescriptionSummary"]
        self._created = summary["StreamCreationTimestamp"].astimezone(UTC)
        self._retention = timedelta(hours=summary["RetentionPeriodHours"])
        self._find_shards()

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages, of one shard; see `QueueConsumer.fetch`."""
        for _ in range(len(self._turns)):
            shard = self._turns[0]
            self._turns.rotate(-1)
            if self._is_readable(shard):
                messages = self._read(shard)
                if messages:
                    return Fetched(messages, is_end=False, lags={})
        time.sleep(wait_s)
        return Fetched([], all(one.is_finished or one.is_at_end for one in self._turns), lags={})

    def seek(self, partition: str) -> None:
        """Read on from the stored position."""
        shard = self._shards.get(partition)
        if shard is not None:
            shard.iterator, shard.is_finished, shard.is_at_end = None, False, False

    def acknowledge(self, partition: str, position: str) -> None:
        """Nothing: Kinesis does not keep how far a consumer is."""

    def _find_shards(self) -> None:
        """Add the shards that are new. Kinesis lists closed ones as long as it keeps their records."""
        with self._errors("kinesis:ListShards"):
            for page in self._client.get_paginator("list_shards").paginate(StreamName=self._stream):
                for one in page["Shards"]:
                    if one["ShardId"] not in self._shards:
                        parents = (one.get("ParentShardId"), one.get("AdjacentParentShardId"))
                        shard = _Shard(one["ShardId"], tuple(name for name in parents if name))
                        self._shards[shard.name] = shard
                        self._turns.append(shard)

    def _is_readable(self, shard: _Shard) -> bool:
        """Whether the shard has an end that is not read, and its parents have not."""
        parents = [self._shards[name] for name in shard.parents if name in self._shards]
        return not shard.is_finished and all(one.is_finished for one in parents)

    def _read(self, shard: _Shard) -> list[Message]:
        """The next messages of a shard."""
        if shard.iterator is None:
            self._open(shard)
        time.sleep(max(0.0, shard.due - time.monotonic()))
        shard.due = time.monotonic() + PAUSE_S
        shard.is_at_end = False
        with self._errors("kinesis:GetRecords"):
            try:
                answer = self._client.get_records(ShardIterator=shard.iterator, Limit=MAX_RECORDS)
            except self._faults.ProvisionedThroughputExceededException:
                shard.due = time.monotonic() + THROTTLED_S
                return []
            except (
                self._faults.ExpiredIteratorException
            ):  # after five minutes, such as when the database was away
                self.seek(shard.name)
                return []
        messages = self._messages(shard, answer["Records"])
        behind = timedelta(milliseconds=answer.get("MillisBehindLatest", 0))
        shard.iterator = answer.get("NextShardIterator")
        if shard.iterator is None:
            shard.is_finished = True
            self._find_shards()
        elif not answer["Records"]:
            shard.is_at_end = not behind
            if behind >= self._retention:  # an iterator that has become older than all records does not move
                with self._errors("kinesis:GetShardIterator"):
                    shard.iterator = self._iterator(shard.name, None)
        return messages

    def _open(self, shard: _Shard) -> None:
        """Find the place after the stored position, or the oldest record where the position is no longer there."""
        text = self._stored(shard.name)
        stored = None if text is None else _Position.parse(text)
        shard.after, shard.is_trimmed, shard.reports = 0, False, []
        if stored is not None and stored.created != self._created:
            place = f"{shard.name}, sequence number {stored.sequence}"
            shard.reports = [
                self._report(shard, place, "the stream was created anew, and is read from its start")
            ]
        elif stored is not None and stored.sequence:
            shard.after = stored.sequence
            shard.is_trimmed = stored.at + self._retention < datetime.now(UTC)
        after = shard.after if shard.after and not shard.is_trimmed else None
        with self._errors("kinesis:GetShardIterator"):
            try:
                shard.iterator = self._iterator(shard.name, after)
            except self._faults.InvalidArgumentException:
                if after is None:
                    raise
                shard.is_trimmed = True
                shard.iterator = self._iterator(shard.name, None)

    def _iterator(self, shard: str, after: int | None) -> str:
        """Names the records after a sequence number; null: from the oldest one on."""
        start = (
            {"ShardIteratorType": "TRIM_HORIZON"}
            if after is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(after)}
        )
        answer = self._client.get_shard_iterator(StreamName=self._stream, ShardId=shard, **start)
        return str(answer["ShardIterator"])

    def _messages(self, shard: _Shard, records: list[Mapping[str, Any]]) -> list[Message]:
        """The messages of the new records, after what has to be reported."""
        if records and shard.is_trimmed:
            shard.is_trimmed = False
            first = int(records[0]["SequenceNumber"])
            if first > shard.after:
                place = f"{shard.name}, sequence numbers after {shard.after} up to {first}"
                problem = (
                    "some of these records may have been deleted before they were read; keep them longer"
                )
                shard.reports.append(self._report(shard, place, problem))
        messages, shard.reports = shard.reports, []
        for one in records:
            sequence = int(one["SequenceNumber"])
            if sequence > shard.after:
                shard.after = sequence
                messages.append(self._message(shard, one))
        return messages

    def _message(self, shard: _Shard, record: Mapping[str, Any]) -> Message:
        sequence, body = int(record["SequenceNumber"]), bytes(record["Data"])
        at = record["ApproximateArrivalTimestamp"].astimezone(UTC)
        problem = None
        if body.startswith(_AGGREGATED):
            problem = "it was aggregated by the Kinesis Producer Library; set AggregationEnabled=false there"
        return Message(
            partition=shard.name,
            position=_Position(sequence, at, self._created).text,
            place=f"{shard.name}, sequence number {sequence}",
            body=body[: MAX_MESSAGE_BYTES + 1],
            at=at,
            problem=problem,
        )

    def _report(self, shard: _Shard, place: str, problem: str) -> Message:
        """A fault that stands before the oldest record."""
        position = _Position(0, datetime.now(UTC), self._created)
        return Message(partition=shard.name, position=position.text, place=place, problem=problem)

    @contextmanager
    def _errors(self, permission: str) -> Iterator[None]:
        """Turn the errors of the library into one sentence."""
        try:
            with aws_failures(_TITLE, permission):
                yield
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, self._faults.ResourceNotFoundException):
                raise UnavailableError(
                    f"{self._place} has no stream {self._stream}; create it, or correct FOREWARN_QUEUES"
                ) from cause
            if isinstance(cause, self._faults.ResourceInUseException):
                raise UnavailableError(f"{self._place}: the stream {self._stream} is not ready") from cause
            raise ConfigurationError(str(error)) from error
