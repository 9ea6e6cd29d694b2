"""The port of queues: what `pipelines.collect.consume` needs from Kafka, Redis Streams, NATS JetStream and others."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipelines.sources.queues.queue_address import QueueAddress

#: A larger message is a dead letter. Brokers accept 1 MB unless somebody has raised it.
MAX_MESSAGE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a queue, or a fault that stands in the place of messages.

    Attributes:
        partition: of the topic; "" where the queue has only one order.
        position: where the message stands in its partition: offset, id of the entry, sequence.
        place: the same for people: `partition 0, offset 17`.
        at: when the broker took the message; null: it does not tell.
        problem: why the message cannot be read; null: it can.
    """

    partition: str
    position: str
    place: str
    body: bytes = b""
    at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch returned.

    Attributes:
        messages: in the order of each partition.
        is_end: whether everything that the queue had is read.
        lags: partition -> how many messages wait behind these, where the broker tells it.
    """

    messages: Sequence[Message]
    is_end: bool
    lags: dict[str, int]


#: Partition -> the stored position after which to read; null: from the start of the queue.
StoredPosition = Callable[[str], str | None]


class QueueConsumer(Protocol):
    """A connection to a queue, which reads it from the stored positions on.

    All methods raise `UnavailableError` if the broker does not answer, or lacks the queue now.
    """

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages; none, if none came within `wait_s`."""
        ...

    def seek(self, partition: str) -> None:
        """Read a partition from its stored position on, because another consumer has moved it."""
        ...

    def acknowledge(self, partition: str, position: str) -> None:
        """Tell the broker that everything up to `position` is stored. It is a hint: the truth is in our database."""
        ...


class Queue(Protocol):
    """A queue that the settings name.

    Attributes:
        shares: whether the broker divides the partitions among consumers that join its group. Otherwise one consumer
            reads at a time.
    """

    @property
    def address(self) -> QueueAddress: ...

    @property
    def shares(self) -> bool: ...

    def connect(self, stored: StoredPosition, *, joins_group: bool) -> AbstractContextManager[QueueConsumer]:
        """Connect.

        Args:
            joins_group: share the partitions with the other consumers of the group; else read all partitions.
        Raises:
            ConfigurationError: the login is wrong, or a library is missing.
            UnavailableError: the broker does not answer, or lacks the queue now.
        """
        ...
