"""Reads a topic of Kafka. The group divides the partitions; where to read on is in our database, not in the group.

References:
    https://docs.confluent.io/platform/current/clients/confluent-kafka-python/html/index.html
    https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from core.errors import ConfigurationError, ForewarnError, UnavailableError
from pipelines.sources.queues.missing_library import needs_library
from pipelines.sources.queues.queue_address import QueueAddress
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Fetched, Message, StoredPosition

#: Messages of one fetch, which are in memory at once, and kilobytes that the library reads ahead.
MAX_MESSAGES = 200
_AHEAD_KB = 16_000
#: How long a broker may take to answer.
ANSWER_S = 5.0
#: The broker takes a consumer for dead after so long; its partitions then go to others.
_SESSION_MS = 10_000
#: How long a broker waits for messages before it answers that there are none.
_WAIT_MS, _WAIT_AT_END_MS = 500, 50
#: Only critical messages; errors are raised as one sentence.
_LOG_LEVEL = 2


class KafkaQueue:
    """A topic (`pipelines.sources.queues.queue_port.Queue`)."""

    shares = True

    def __init__(self, address: QueueAddress) -> None:
        self.address = address

    @contextmanager
    def connect(self, stored: StoredPosition, *, joins_group: bool) -> Iterator["KafkaConsumer"]:
        """Connect; see `Queue.connect`."""
        with needs_library("confluent-kafka", "Kafka"):
            import confluent_kafka
        # The end of a partition is reported after this wait.
        wait_ms = _WAIT_MS if joins_group else _WAIT_AT_END_MS
        settings = {**_settings(self.address), "fetch.wait.max.ms": wait_ms}
        consumer = KafkaConsumer(confluent_kafka, self.address, settings, stored)
        try:
            consumer.start(joins_group=joins_group)
            yield consumer
        finally:
            consumer.close()


class KafkaConsumer:
    """A consumer of one topic (`QueueConsumer`).

    Args:
        library: the module confluent_kafka.
        settings: of the library.
    """

    def __init__(
        self, library: Any, address: QueueAddress, settings: dict[str, Any], stored: StoredPosition
    ) -> None:
        self._library = library
        self._address = address
        self._topic = address.path[0]
        self._stored = stored
        self._fault: Any = None
        self._assigned: set[int] = set()
        self._at_end: set[int] = set()
        #: Partition -> the next offset; earlier messages can still come after a rebalance.
        self._next: dict[int, int] = {}
        #: Partition -> the stored offset that the group does not know yet.
        self._uncommitted: dict[int, int] = {}
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer = library.Consumer({**settings, **callbacks})

    def start(self, *, joins_group: bool) -> None:
        """Find the topic, and ask for partitions or take all of them."""
        try:
            topic = self._consumer.list_topics(self._topic, timeout=ANSWER_S).topics[self._topic]
        except self._library.KafkaException as error:
            self._consumer.poll(0)  # which hands over the cause
            raise self._error(self._fault or error.args[0]) from error
        if topic.error is not None:
            raise self._error(topic.error)
        if joins_group:
            self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        else:
            self._on_assign(self._consumer, [self._at(number) for number in topic.partitions])

    def close(self) -> None:
        """Leave the group. The broker then gives the partitions to others at once."""
        with suppress(self._library.KafkaException, RuntimeError):
            self._commit(asynchronous=False)
        with suppress(self._library.KafkaException, RuntimeError):
            self._consumer.close()

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages; see `QueueConsumer.fetch`."""
        messages = []
        with suppress(self._library.KafkaException):
            self._commit(asynchronous=True)
        try:
            found = self._consumer.consume(MAX_MESSAGES, timeout=wait_s)
        except self._library.KafkaException as error:
            raise self._error(error.args[0]) from error
        codes = self._library.KafkaError
        for one in found:
            fault, partition = one.error(), one.partition()
            if fault is None:
                self._at_end.discard(partition)
                if one.offset() >= self._next.get(partition, 0):
                    self._next[partition] = one.offset() + 1
                    messages.append(_message(one))
            elif fault.code() == codes._PARTITION_EOF:
                self._at_end.add(partition)
            elif fault.code() == codes._AUTO_OFFSET_RESET:
                messages += self._start_anew(partition)
            else:
                raise self._error(fault)
        if not messages and self._fault is not None:
            raise self._error(self._fault)
        self._fault = None
        lags = {one.partition: self._lag(one) for one in messages}
        return Fetched(messages, bool(self._assigned) and self._at_end >= self._assigned, lags)

    def seek(self, partition: str) -> None:
        """Read on from the stored position; a partition that another consumer has now is left alone."""
        number = int(partition)
        if number in self._assigned:
            self._at_end.discard(number)
            try:
                self._consumer.seek(self._from_stored(number))
            except self._library.KafkaException as error:
                # Reading on from another place would lose messages; a new connection begins at the stored one.
                raise self._error(error.args[0]) from error

    def acknowledge(self, partition: str, position: str) -> None:
        """Commit the offset to the group soon, so that Kafka's tools show the lag."""
        self._uncommitted[int(partition)] = int(position) + 1

    def _commit(self, *, asynchronous: bool) -> None:
        offsets = [self._at(partition, offset) for partition, offset in self._uncommitted.items()]
        self._uncommitted.clear()
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)

    def _on_commit(self, error: Any, partitions: list[Any]) -> None:
        """Commit again what failed, for example while the group divided its partitions."""
        if error is not None:
            for one in partitions:
                if one.partition in self._assigned:
                    self._uncommitted.setdefault(one.partition, one.offset)

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        self._assigned = {one.partition for one in partitions}
        self._at_end = set()
        consumer.assign([self._from_stored(number) for number in sorted(self._assigned)])

    def _on_revoke(self, _consumer: Any, _partitions: list[Any]) -> None:
        self._assigned, self._at_end = set(), set()
        self._uncommitted.clear()

    def _on_error(self, error: Any) -> None:
        """Keep what the library reports beside messages. A wrong login is more telling than a lost connection."""
        codes = self._library.KafkaError
        if self._fault is None or error.code() == codes._AUTHENTICATION or error.fatal():
            self._fault = error

    def _at(self, partition: int, offset: int | None = None) -> Any:
        place = [] if offset is None else [offset]
        return self._library.TopicPartition(self._topic, partition, *place)

    def _from_stored(self, partition: int) -> Any:
        position = self._stored(str(partition))
        self._next[partition] = 0 if position is None else int(position) + 1
        return self._at(
            partition, self._library.OFFSET_BEGINNING if position is None else self._next[partition]
        )

    def _start_anew(self, partition: int) -> list[Message]:
        """Go on with the oldest message where the stored position is no longer in the topic; report what is lost."""
        try:
            low, high = self._consumer.get_watermark_offsets(self._at(partition), timeout=ANSWER_S)
            wanted, self._next[partition] = self._next[partition], low
            # The library has stopped to fetch from the partition; only an assignment starts it again.
            start = self._library.OFFSET_BEGINNING
            self._consumer.assign([self._at(one, self._next[one] or start) for one in sorted(self._assigned)])
        except self._library.KafkaException as error:
            raise self._error(error.args[0]) from error
        self._at_end.clear()
        if wanted < low:
            place = f"partition {partition}, offsets {wanted} to {low - 1}"
            problem = (
                "Kafka deleted these messages before they were read; keep them longer, or read more often"
            )
        else:
            place = f"partition {partition}, offset {wanted}"
            problem = (
                f"the partition ends at offset {high}: the topic was created anew, and is read from its start"
            )
        return [
            Message(partition=str(partition), position=str(low - 1), place=place, problem=problem),
        ]

    def _lag(self, message: Message) -> int:
        _, high = self._consumer.get_watermark_offsets(self._at(int(message.partition)), cached=True)
        return max(0, int(high) - int(message.position) - 1)

    def _error(self, error: Any) -> ForewarnError:
        """One sentence for an error of the library."""
        codes, place, topic = self._library.KafkaError, self._address.place, self._topic
        code = error.code()
        if code in {codes._AUTHENTICATION, codes.SASL_AUTHENTICATION_FAILED}:
            return ConfigurationError(
                f"{place} refuses the login; correct user and password in FOREWARN_QUEUES"
            )
        if code == codes._SSL:
            return ConfigurationError(f"{place}: the TLS connection fails ({error.str()}); check tls and ca")
        if code in {codes.TOPIC_AUTHORIZATION_FAILED, codes.GROUP_AUTHORIZATION_FAILED}:
            return ConfigurationError(
                f"{place}: this user may not read the topic {topic} in the group {self._address.group};"
                " allow READ on both"
            )
        if code in {codes.UNKNOWN_TOPIC_OR_PART, codes._UNKNOWN_TOPIC, codes._UNKNOWN_PARTITION}:
            return UnavailableError(f"{place} has no topic {topic}; create it, or correct FOREWARN_QUEUES")
        return UnavailableError(f"{place} does not answer: {error.str()}")


def _message(one: Any) -> Message:
    body = one.value() or b""
    kind, milliseconds = one.timestamp()
    return Message(
        partition=str(one.partition()),
        position=str(one.offset()),
        place=f"partition {one.partition()}, offset {one.offset()}",
        body=body[: MAX_MESSAGE_BYTES + 1],
        at=datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None,
    )


def _settings(address: QueueAddress) -> dict[str, Any]:
    protocol = ("SASL_" if address.user else "") + ("SSL" if address.tls else "PLAINTEXT")
    settings: dict[str, Any] = {
        "bootstrap.servers": address.hosts,
        "client.id": "forewarn",
        "group.id": address.group,
        "security.protocol": protocol,
        "session.timeout.ms": _SESSION_MS,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "queued.max.messages.kbytes": _AHEAD_KB,
        "log_level": _LOG_LEVEL,
    }
    if address.user:
        settings |= {
            "sasl.mechanism": address.mechanism,
            "sasl.username": address.user,
            "sasl.password": address.secret or "",
        }
    if address.ca:
        settings["ssl.ca.location"] = address.ca
    return settings
