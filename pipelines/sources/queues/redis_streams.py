"""Reads a stream of Redis. A stream has one order, so one consumer reads it at a time, from the stored entry on.

The consumer group is set to what is stored, so that `XINFO GROUPS` shows how far Forewarn is.

References:
    https://redis.io/docs/latest/develop/data-types/streams/
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import ConfigurationError, ForewarnError, UnavailableError
from pipelines.sources.queues.queue_address import QueueAddress
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Fetched, Message, StoredPosition

#: Entries of one fetch, which are in memory at once.
MAX_ENTRIES = 200
_ANSWER_S = 5.0
_START = "0-0"
_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)


class RedisQueue:
    """A stream (`pipelines.sources.queues.queue_port.Queue`)."""

    shares = False

    def __init__(self, address: QueueAddress) -> None:
        self.address = address

    @contextmanager
    def connect(self, stored: StoredPosition, *, joins_group: bool) -> Iterator["RedisConsumer"]:
        """Connect; see `Queue.connect`."""
        with redis.Redis(**_settings(self.address)) as client:
            consumer = RedisConsumer(client, self.address, stored)
            consumer.start()
            yield consumer


class RedisConsumer:
    """The only consumer of a stream (`QueueConsumer`)."""

    def __init__(self, client: Any, address: QueueAddress, stored: StoredPosition) -> None:
        self._client = client
        self._address = address
        self._stream = address.path[1]
        self._stored = stored
        self._after = _START
        self._lost: list[Message] = []

    def start(self) -> None:
        """Check that the stream exists, and find the place from which to read."""
        with self._errors():
            kind = self._client.type(self._stream).decode()
            if kind == "none":
                raise UnavailableError(
                    f"{self._address.place} has no stream {self._stream}; create it with XADD or XGROUP CREATE ..."
                    " MKSTREAM, or correct FOREWARN_QUEUES"
                )
            if kind != "stream":
                raise ConfigurationError(
                    f"{self._address.place}: {self._stream} is a {kind} and no stream; correct FOREWARN_QUEUES"
                )
            self.seek("")
            self._check_place()
            self._set_group()

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages; see `QueueConsumer.fetch`."""
        if self._lost:
            lost, self._lost = self._lost, []
            return Fetched(lost, is_end=False, lags={})
        with self._errors():
            found = self._client.xread(
                {self._stream: self._after}, count=MAX_ENTRIES, block=max(1, round(wait_s * 1000))
            )
        # as a list of pairs, or since version 3 of the protocol as a dictionary
        pairs = list(found.items()) if isinstance(found, Mapping) else found
        entries = pairs[0][1] if pairs else []
        if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple):
            entries = entries[0]
        messages = [self._message(entry_id.decode(), fields) for entry_id, fields in entries]
        if messages:
            self._after = messages[-1].position
        is_end = len(messages) < MAX_ENTRIES
        return Fetched(messages, is_end, {"": 0} if is_end else {})

    def seek(self, partition: str) -> None:
        """Read on from the stored position."""
        self._after = self._stored(partition) or _START

    def acknowledge(self, partition: str, position: str) -> None:
        """Set the group to this entry, so that Redis shows how far it is."""
        with self._errors():
            self._client.xgroup_setid(self._stream, self._address.group, position)

    def _set_group(self) -> None:
        try:
            self._client.xgroup_create(self._stream, self._address.group, self._after)
        except exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            self._client.xgroup_setid(self._stream, self._address.group, self._after)

    def _check_place(self) -> None:
        """Report entries that may have been deleted before they were read, and a stream that was created anew."""
        if self._after == _START:
            return
        stream = self._client.xinfo_stream(self._stream)
        stored, last = self._after, _text(stream["last-generated-id"])
        first = _text(stream["first-entry"][0]) if stream["first-entry"] else stored
        # servers before version 7 do not know it
        deleted = _text(stream.get("max-deleted-entry-id"))
        if _parts(last) < _parts(stored):
            self._after = _START
            self._report(f"entry {stored}", "the stream was created anew, and is read from its start")
        elif _parts(first) > _parts(stored) or _parts(deleted) > _parts(stored):
            until = max(first, deleted, key=_parts)
            self._report(
                f"entries after {stored} up to {until}",
                "some of these entries may have been deleted before they were read; keep them longer",
            )

    def _report(self, place: str, problem: str) -> None:
        self._lost = [Message(partition="", position=self._after, place=place, problem=problem)]

    def _message(self, entry_id: str, fields: Mapping[bytes, bytes] | None) -> Message:
        fields = fields or {}
        chosen = self._address.field.encode()
        body = fields.get(chosen) if chosen else next(iter(fields.values())) if len(fields) == 1 else None
        problem = None
        if body is None:
            names = ", ".join(name.decode(errors="backslashreplace") for name in fields) or "none"
            wanted = (
                f"it has no field {self._address.field}"
                if chosen
                else "field= in FOREWARN_QUEUES has to name one"
            )
            problem = f"the fields of the entry are {names}; {wanted}"
        return Message(
            partition="",
            position=entry_id,
            place=f"entry {entry_id}",
            body=(body or b"")[: MAX_MESSAGE_BYTES + 1],
            at=_time(entry_id),
            problem=problem,
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of the library into one sentence."""
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> ForewarnError:
        place = self._address.place
        if isinstance(error, _REFUSED) or "NOAUTH" in str(error):
            return ConfigurationError(
                f"{place} refuses the login or the command ({error}); correct user and password in FOREWARN_QUEUES,"
                " or allow XREAD, XINFO, XGROUP and TYPE"
            )
        if isinstance(error, exceptions.ResponseError) and "no such key" in str(error):
            return UnavailableError(f"{place} has no stream {self._stream} any more")
        return UnavailableError(f"{place} does not answer: {error}")


def _parts(entry_id: str) -> tuple[int, int]:
    """Milliseconds and number of an entry, which sort as entries do."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _text(value: Any) -> str:
    """An id in a response."""
    return value.decode() if isinstance(value, bytes) else value or _START


def _time(entry_id: str) -> datetime | None:
    """When Redis took the entry; null where its sender chose an id that is no time."""
    try:
        return datetime.fromtimestamp(_parts(entry_id)[0] / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _settings(address: QueueAddress) -> dict[str, Any]:
    host, _, port = address.hosts.rpartition(":") if ":" in address.hosts else (address.hosts, "", "6379")
    settings: dict[str, Any] = {
        "host": host.strip("[]"),
        "port": int(port) if port.isdecimal() else 6379,
        "db": int(address.path[0]),
        "username": address.user,
        "password": address.secret,
        "socket_timeout": _ANSWER_S,
        "socket_connect_timeout": _ANSWER_S,
        "client_name": "forewarn",
        # `pipelines.collect.consume` tries again
        "retry": Retry(NoBackoff(), 1),
    }
    if address.tls:
        settings |= {"ssl": True, "ssl_ca_certs": address.ca or None}
    return settings
