"""Decodes the messages of a queue into requests, as the service decodes what is pushed to it."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import polars as pl

from core.batch import Batch
from core.domain import Series
from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.collect.push import PushedRequest, Receiver
from pipelines.sources.otlp import OtlpReceiver, decompressed
from pipelines.sources.otlp_messages import Json, Protobuf
from pipelines.sources.queues.json_lines import JsonReceiver, JsonRequest
from pipelines.sources.queues.queue_address import PayloadFormat
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Message
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.dead_letters import REJECTED

#: A dead letter shows so many characters of a message.
_SHOWN_CHARS = 2_000
_GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Work:
    """Neighbouring messages of one partition, which are stored in one transaction.

    Attributes:
        last: the last of them.
        messages: how many they are.
        request: their content; null: none could be decoded.
        place: of the message, where the request is one message; "": the request names the places itself.
        rejected: row and reason of each message that cannot be decoded.
    """

    last: Message
    messages: int = 1
    request: PushedRequest | None = None
    place: str = ""
    rejected: list[tuple[str, str]] = field(default_factory=list)


class Payloads(Protocol):
    """Decodes one format.

    Attributes:
        receiver: turns its requests into batches.
    """

    receiver: Receiver[Any]

    def works(self, messages: Sequence[Message]) -> Iterator[Work]:
        """What to store, in the order of the messages, which are of one partition."""
        ...


class _OneByOne(ABC):
    """Each message is a request of its own, because senders put many series into one."""

    def __init__(self, receiver: Receiver[Any]) -> None:
        self.receiver = receiver

    def works(self, messages: Sequence[Message]) -> Iterator[Work]:
        for message in messages:
            work = Work(message, place=message.place)
            try:
                work.request = self.decode(_content(message))
            except InputError as error:
                work.rejected.append(_dead_letter(message, error))
            yield work

    @abstractmethod
    def decode(self, body: bytes) -> PushedRequest:
        """The request of a message; raises InputError."""


class _Otlp(_OneByOne):
    """Requests for metrics of OpenTelemetry. In protobuf, no request begins with a brace."""

    def __init__(self, tenant: str, services: ServiceRule, *, keeps_raw: bool) -> None:
        self._otlp = OtlpReceiver(tenant, services)
        self._keeps_raw = keeps_raw
        super().__init__(self._otlp)

    def decode(self, body: bytes) -> PushedRequest:
        if body.startswith(_GZIP):
            body = decompressed(body)
        encoding = Json() if body.startswith(b"{") else Protobuf()
        return (self._otlp.decode_raw if self._keeps_raw else self._otlp.decode)(body, encoding)


class _RemoteWrite(_OneByOne):
    """Requests of Prometheus's remote_write, version 1 or 2, compressed with snappy."""

    def __init__(self, tenant: str, services: ServiceRule) -> None:
        self._remote_write = RemoteWriteReceiver(tenant, services)
        super().__init__(self._remote_write)

    def decode(self, body: bytes) -> PushedRequest:
        return self._remote_write.decode(body, None)


class _JsonLines:
    """JSON lines. Many messages have only one line, so all that were fetched are one request."""

    def __init__(self, tenant: str, services: ServiceRule) -> None:
        self._json = JsonReceiver(tenant, services)
        self.receiver: Receiver[Any] = self._json

    def works(self, messages: Sequence[Message]) -> Iterator[Work]:
        request = JsonRequest()
        work = Work(messages[-1], len(messages), request)
        for message in messages:
            try:
                body = _content(message)
                if body.startswith(_GZIP):
                    body = decompressed(body)
                self._json.read(body, message.place, request)
            except InputError as error:
                work.rejected.append(_dead_letter(message, error))
        if not (request.lines or request.rejected):
            work.request = None
        yield work


def payloads(
    payload: PayloadFormat, tenant: str, services: ServiceRule, *, keeps_raw: bool = False
) -> Payloads:
    """The decoder of a format, for one tenant.

    Args:
        keeps_raw: golden signals are computed of what Prometheus and OpenTelemetry send.
    """
    known: dict[PayloadFormat, Callable[[str, ServiceRule], Payloads]] = {
        PayloadFormat.OTLP: partial(_Otlp, keeps_raw=keeps_raw),
        PayloadFormat.REMOTE_WRITE: _RemoteWrite,
        PayloadFormat.JSON: _JsonLines,
    }
    return known[payload](tenant, services)


@dataclass(frozen=True, slots=True)
class ReceiverOfMessage:
    """A receiver whose dead letters name the queue and the place of the message (`pipelines.collect.push.Receiver`).

    Attributes:
        place: "": the receiver names places itself.
    """

    name: str
    receiver: Receiver[Any]
    place: str

    def batch(self, request: Any, types: Mapping[str, str]) -> Batch:
        batch = self.receiver.batch(request, types)
        if batch.rejected is None or batch.rejected.is_empty() or not self.place:
            return batch
        reason = pl.concat_str(pl.lit(f"{self.place}: "), "reason")
        return replace(batch, rejected=batch.rejected.with_columns(reason))

    def with_step(self, series: Series, step_s: int) -> Series:
        return self.receiver.with_step(series, step_s)


def rejected_frame(rejected: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """Rows and reasons as the store of dead letters takes them."""
    return pl.DataFrame(list(rejected), schema=REJECTED, orient="row")


def _content(message: Message) -> bytes:
    """The body of a message.

    Raises:
        InputError: the message has no body that can be decoded.
    """
    if message.problem:
        raise InputError(message.problem)
    if not message.body:
        raise InputError("the message is empty")
    if len(message.body) > MAX_MESSAGE_BYTES:
        raise InputError(f"the message has more than {MAX_MESSAGE_BYTES:,} bytes; send it in parts")
    return message.body


def _dead_letter(message: Message, error: Exception) -> tuple[str, str]:
    shown = message.body[:_SHOWN_CHARS].decode(errors="backslashreplace")[:_SHOWN_CHARS]
    return json.dumps({"message": message.place, "body": shown}), f"{message.place}: {error}"
