"""Store what queues carry, each message once.

The position in a queue is a cursor in the database. It moves in the transaction that stores the messages, and only if
it still is where this process read it (`CursorRepository.advance`). So a process that is killed loses and doubles
nothing, and of two consumers of the same partition one stores a message and the other one goes on after it. What the
broker hears is a hint for its tools.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Protocol

from core.errors import BusyError, UnavailableError
from core.locks import ingest_lock
from core.queue_cursors import QueueCursor, cursor_name
from pipelines.collect.ingest import IngestReport
from pipelines.collect.push import store_pushed
from pipelines.collect.pushed_sidecars import PushedSidecars
from pipelines.collect.queue_payloads import ReceiverOfMessage, Work, payloads, rejected_frame
from pipelines.collect.stage import Kept, Staging
from pipelines.common.tenant_platform import Platform
from pipelines.sources.queues.queue_port import Fetched, Message, Queue, QueueConsumer
from pipelines.sources.remote_write_columns import WriteRequest

#: How long one fetch waits for messages.
FETCH_S = 1.0
#: The same where the end of the queue is the end of the work.
FETCH_AT_END_S = 0.2
#: The cursors are renewed so often, also without messages: `status` then shows that the queue is read.
RENEW_S = 30.0
#: Waits before the next attempt to reach a broker or the database; the last one is repeated.
WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: How often a consumer asks whether another one has ended, and how long `drain` waits for one.
TURN_S = 2.0
#: A watch cycle reads a queue for at most so long.
PULL_S = 120.0


class ConsumeListener(Protocol):
    """What hears about a queue that is read."""

    def stored(self, queue: str, report: IngestReport) -> None:
        """Some messages are stored."""
        ...

    def waits(self, queue: str, reason: str, wait_s: float) -> None:
        """The queue cannot be read now; the next attempt is in `wait_s`."""
        ...


class Silent(ConsumeListener):
    """Reports nothing."""

    def stored(self, queue: str, report: IngestReport) -> None: ...

    def waits(self, queue: str, reason: str, wait_s: float) -> None: ...


def drain(
    platform: Platform,
    queue: Queue,
    listener: ConsumeListener | None = None,
    *,
    patience_s: float | None = None,
) -> IngestReport:
    """Store what the queue has now, up to its end.

    Args:
        patience_s: end after so long even if messages are left; null: only at the end of the queue.
    Raises:
        BusyError: another process reads the queue.
        ConfigurationError: the login is wrong, or a library is missing.
        UnavailableError: the broker or the database does not answer; what was stored before stays.
    """
    listener = listener or Silent()
    with platform.store.locks.hold(ingest_lock(queue.address.name), wait_s=TURN_S):
        reading = _Reading(platform, queue, listener)
        deadline = None if patience_s is None else time.monotonic() + patience_s
        with queue.connect(reading.stored_position, joins_group=False) as consumer:
            while True:
                fetched = consumer.fetch(FETCH_AT_END_S)
                moved = reading.store(consumer, fetched)
                late = deadline is not None and time.monotonic() > deadline
                if (fetched.is_end and not moved) or late:
                    reading.renew(consumer)
                    return reading.report


def consume(
    platform: Platform, queue: Queue, stop: Event, listener: ConsumeListener | None = None
) -> IngestReport:
    """Store what the queue brings until `stop` is set. An outage of the broker or the database is waited out.

    Raises:
        ConfigurationError: the login is wrong, or a library is missing.
    """
    listener = listener or Silent()
    reading = _Reading(platform, queue, listener)
    waits = _waits()
    while not stop.is_set():
        try:
            with _turn(platform, queue), queue.connect(reading.stored_position, joins_group=True) as consumer:
                while not stop.is_set():
                    reading.store(consumer, consumer.fetch(FETCH_S))
                    reading.renew_if_due(consumer)
                    waits = _waits()
        except BusyError as error:
            listener.waits(queue.address.name, f"it is read by another consumer: {error}", TURN_S)
            stop.wait(TURN_S)
        except UnavailableError as error:
            wait_s = next(waits)
            listener.waits(queue.address.name, str(error), wait_s)
            stop.wait(wait_s)
    return reading.report


@contextmanager
def _turn(platform: Platform, queue: Queue) -> Iterator[None]:
    """Be the only consumer of a queue that its broker does not divide."""
    if queue.shares:
        yield
        return
    with platform.store.locks.hold(ingest_lock(queue.address.name)):
        yield


def _waits() -> Iterator[float]:
    yield from WAITS_S
    while True:
        yield WAITS_S[-1]


class _Reading:
    """Stores the messages of one queue, and remembers the cursors that this process knows."""

    def __init__(self, platform: Platform, queue: Queue, listener: ConsumeListener) -> None:
        self._platform = platform
        self._name = queue.address.name
        self._listener = listener
        services = platform.settings.service_rule
        keeps_raw = platform.settings.golden_signals
        self._payloads = payloads(queue.address.payload, platform.tenant, services, keeps_raw=keeps_raw)
        self._sidecars = PushedSidecars(platform)
        self._staging = Staging(platform) if keeps_raw else None
        #: Partition -> its cursor as this process read or wrote it.
        self._known: dict[str, str | None] = {}
        self._renewed = time.monotonic()
        self.report = IngestReport()

    def stored_position(self, partition: str) -> str | None:
        """The stored position of a partition, from which this process reads on."""
        text = self._platform.store.cursors.get(cursor_name(self._name, partition))
        self._known[partition] = text
        return QueueCursor.from_text(text).position

    def store(self, consumer: QueueConsumer, fetched: Fetched) -> bool:
        """Store messages; true when another consumer has moved a partition, so that its messages were dropped."""
        moved = False
        for partition, messages in _by_partition(fetched.messages).items():
            behind = fetched.lags.get(partition)
            left = len(messages)
            for work in self._payloads.works(messages):
                left -= work.messages
                stored = QueueCursor(
                    position=work.last.position,
                    newest=work.last.at,
                    lag=None if behind is None else behind + left,
                )
                if not self._store(partition, work, stored):
                    consumer.seek(partition)
                    moved = True
                    break
                consumer.acknowledge(partition, work.last.position)
        return moved

    def renew_if_due(self, consumer: QueueConsumer) -> None:
        """Renew the cursors from time to time."""
        if time.monotonic() - self._renewed >= RENEW_S:
            self.renew(consumer)

    def renew(self, consumer: QueueConsumer) -> None:
        """Touch the cursors, so that their time shows that the queue is read."""
        self._renewed = time.monotonic()
        for partition, text in list(self._known.items()):
            cursor = text or QueueCursor().to_text()
            if self._platform.store.cursors.advance(cursor_name(self._name, partition), text, cursor):
                self._known[partition] = cursor
            else:
                del self._known[partition]
                consumer.seek(partition)

    def _store(self, partition: str, work: Work, cursor: QueueCursor) -> bool:
        """Store some messages and move the cursor in one transaction; false when another consumer has moved it."""
        store, text = self._platform.store, cursor.to_text()
        report = IngestReport(rejected=len(work.rejected))
        describe = self._sidecars.stored().added_to
        kept: Kept | None = None
        with store.atomically():
            if not store.cursors.advance(
                cursor_name(self._name, partition), self._known.get(partition), text
            ):
                return False
            if work.rejected:
                store.dead_letters.add(self._name, rejected_frame(work.rejected))
            if self._staging is not None and isinstance(work.request, WriteRequest):
                kept = self._staging.keep(self._name, work.request, work.place)
                report += kept.report
            elif work.request is not None:
                receiver = ReceiverOfMessage(self._name, self._payloads.receiver, work.place)
                report += store_pushed(self._platform, receiver, work.request, describe)
        if self._staging is not None and kept is not None:
            self._staging.remember(kept)
        self._known[partition] = text
        self.report += report
        self._listener.stored(self._name, report)
        return True


def _by_partition(messages: Sequence[Message]) -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = defaultdict(list)
    for one in messages:
        found[one.partition].append(one)
    return found
