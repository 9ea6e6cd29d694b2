"""Reads a stream of NATS JetStream. A stream has one order, so one consumer reads it at a time.

The durable consumer of the group is created anew at the stored sequence whenever a process begins to read. Its
acknowledgements only let NATS show the lag.

References:
    https://docs.nats.io/nats-concepts/jetstream/consumers
"""

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from core.errors import ConfigurationError, ForewarnError, UnavailableError
from pipelines.sources.queues.missing_library import needs_library
from pipelines.sources.queues.queue_address import QueueAddress
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Fetched, Message, StoredPosition

#: Messages of one fetch, which are in memory at once.
MAX_MESSAGES = 200
_ANSWER_S = 5.0
#: Several hosts are tried in turn.
_CONNECT_S = 15.0
#: A server that refuses a login closes the connection at once, and its reason may be lost on the way.
_LOGINS = 10
#: NATS sends a message again that is not acknowledged within this time; storing takes less.
_ACKNOWLEDGE_S = 600.0

R = TypeVar("R")


class JetStreamQueue:
    """A stream, or the messages of one subject of it (`pipelines.sources.queues.queue_port.Queue`)."""

    shares = False

    def __init__(self, address: QueueAddress) -> None:
        self.address = address

    @contextmanager
    def connect(self, stored: StoredPosition, *, joins_group: bool) -> Iterator["JetStreamConsumer"]:
        """Connect; see `Queue.connect`."""
        with needs_library("nats-py", "NATS JetStream"):
            import nats.js.api
            import nats.js.errors
        with asyncio.Runner() as runner:
            consumer = JetStreamConsumer(nats, runner, self.address, stored)
            try:
                consumer.start()
                yield consumer
            finally:
                consumer.close()


class JetStreamConsumer:
    """The only consumer of a stream (`QueueConsumer`).

    Its library works with asyncio; each call runs the loop of `runner` until it has its result.

    Args:
        library: the package nats.
    """

    def __init__(
        self, library: Any, runner: asyncio.Runner, address: QueueAddress, stored: StoredPosition
    ) -> None:
        self._library = library
        self._runner = runner
        self._address = address
        self._stream = address.path[0]
        self._stored = stored
        self._fault: Exception | None = None
        self._client = library.NATS()
        self._subscription: Any = None
        self._created = ""
        self._unacknowledged: dict[int, Any] = {}
        self._lost: list[Message] = []
        self._pending = 0
        #: The last sequence that was fetched; NATS may send a message again.
        self._last = 0

    def start(self) -> None:
        """Log in, find the stream, and create the consumer at the stored position."""
        for left in reversed(range(_LOGINS)):
            try:
                self._run(asyncio.wait_for(self._client.connect(**self._settings()), _CONNECT_S))
                break
            except UnavailableError:
                if not left or not isinstance(self._fault, ConnectionResetError):
                    raise
                self._fault, self._client = None, self._library.NATS()
        self._begin(check=True)

    def close(self) -> None:
        """Close the connection; the durable consumer stays, for the tools of NATS."""
        with suppress(self._library.errors.Error, OSError, TimeoutError):
            self._runner.run(self._client.close())

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages; see `QueueConsumer.fetch`."""
        if self._lost:
            lost, self._lost = self._lost, []
            return Fetched(lost, is_end=False, lags={})
        if not self._client.is_connected:
            raise UnavailableError(f"{self._address.place} closed the connection")
        try:
            found = self._run(self._subscription.fetch(MAX_MESSAGES, timeout=max(0.1, wait_s)))
        except TimeoutError:
            found = []
        messages = [self._message(one) for one in found if one.metadata.sequence.stream > self._last]
        if found:
            self._last = max(self._last, found[-1].metadata.sequence.stream)
            self._pending = found[-1].metadata.num_pending
        return Fetched(messages, self._pending == 0, {"": self._pending})

    def seek(self, partition: str) -> None:
        """Read on from the stored position, with a new consumer of the group."""
        self._begin(check=False)

    def acknowledge(self, partition: str, position: str) -> None:
        """Acknowledge all messages up to this one, so that NATS shows the lag."""
        until = _sequence(position)
        done = [number for number in self._unacknowledged if number <= until]
        messages = [self._unacknowledged.pop(number) for number in done]
        self._run(_each(messages))

    def _begin(self, *, check: bool) -> None:
        self._unacknowledged.clear()
        self._run(self._subscribe(check=check))

    async def _subscribe(self, *, check: bool) -> None:
        api, errors = self._library.js.api, self._library.js.errors
        stream = self._client.jetstream()
        info = await stream.stream_info(self._stream)
        self._created = str(info.created or "")
        after = self._after(info, check=check)
        self._last, group = after, self._address.group
        with suppress(errors.NotFoundError):
            await stream.delete_consumer(self._stream, group)
        consumer = await stream.add_consumer(
            self._stream,
            api.ConsumerConfig(
                durable_name=group,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=_ACKNOWLEDGE_S,
                max_ack_pending=4 * MAX_MESSAGES,
                filter_subject=self._address.path[1] if len(self._address.path) > 1 else None,
            ),
        )
        self._pending = consumer.num_pending or 0
        self._subscription = await stream.pull_subscribe_bind(group, stream=self._stream)

    def _after(self, info: Any, *, check: bool) -> int:
        """The sequence after which to read. What was lost before it is reported."""
        stored = self._stored("")
        if stored is None:
            return 0
        created, sequence = stored.partition(" ")[2], _sequence(stored)
        if not check:
            return sequence
        if created != self._created or sequence > info.state.last_seq:
            self._report(0, f"sequence {sequence}", "the stream was created anew, and is read from its start")
            return 0
        if info.state.first_seq > sequence + 1:
            self._report(
                sequence,
                f"sequences {sequence + 1} to {info.state.first_seq - 1}",
                "NATS deleted these messages before they were read; keep them longer, or read more often",
            )
        return sequence

    def _report(self, position: int, place: str, problem: str) -> None:
        lost = Message(partition="", position=self._position(position), place=place, problem=problem)
        self._lost = [lost]

    def _position(self, sequence: int) -> str:
        """Sequences count anew when a stream is created anew."""
        return f"{sequence} {self._created}"

    def _message(self, one: Any) -> Message:
        sequence = one.metadata.sequence.stream
        self._unacknowledged[sequence] = one
        return Message(
            partition="",
            position=self._position(sequence),
            place=f"{one.subject}, sequence {sequence}",
            body=one.data[: MAX_MESSAGE_BYTES + 1],
            at=one.metadata.timestamp,
        )

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        """Wait for a result; errors of the library become one sentence, except a fetch without messages."""
        errors = self._library.errors
        try:
            return self._runner.run(work)
        except TimeoutError:
            if self._subscription is None:
                raise self._error(self._fault or TimeoutError("no response in time")) from None
            raise
        except (errors.Error, OSError) as error:
            raise self._error(self._fault or error) from error

    async def _on_error(self, error: Exception) -> None:
        self._fault = error

    def _error(self, error: Exception) -> ForewarnError:
        place, text = self._address.place, str(error) or type(error).__name__
        if "authorization" in text.lower() or "authentication" in text.lower():
            return ConfigurationError(
                f"{place} refuses the login; correct user and password in FOREWARN_QUEUES"
            )
        if "permissions violation" in text.lower():
            return ConfigurationError(
                f"{place}: {text}; allow this user $JS.API and the consumer {self._address.group}"
            )
        if isinstance(error, self._library.js.errors.NotFoundError):
            return UnavailableError(
                f"{place} has no stream {self._stream}; create it, or correct FOREWARN_QUEUES"
            )
        if isinstance(
            error, self._library.js.errors.ServiceUnavailableError | self._library.errors.NoRespondersError
        ):
            return UnavailableError(f"{place} has no JetStream; start nats-server with --jetstream")
        return UnavailableError(f"{place} does not answer: {text}")

    def _settings(self) -> dict[str, Any]:
        address = self._address
        settings: dict[str, Any] = {
            "servers": [f"nats://{host}" for host in address.hosts.split(",")],
            "name": "forewarn",
            "connect_timeout": _ANSWER_S,
            # Each host is tried twice; 0 would mean for ever.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.1,
            "error_cb": self._on_error,
        }
        if address.user and address.password is None:
            settings["token"] = address.user
        elif address.user:
            settings |= {"user": address.user, "password": address.secret}
        if address.tls:
            settings["tls"] = ssl.create_default_context(cafile=address.ca or None)
        return settings


async def _each(messages: list[Any]) -> None:
    for one in messages:
        await one.ack()


def _sequence(position: str) -> int:
    return int(position.partition(" ")[0])
