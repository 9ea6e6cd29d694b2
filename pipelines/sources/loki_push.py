"""Reads the push protocol of Loki: streams of log lines, in JSON or in protobuf that is compressed with snappy.

References:
    https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
    https://github.com/grafana/loki/blob/main/pkg/push/push.proto
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.checks import require_name
from core.errors import InputError
from core.secrets_in_text import masked
from core.service_names import ServiceRule
from models.metrics.log_levels import UNKNOWN, level_of_fields, level_of_text
from pipelines.sources.log_lines import LogLine, LogRequest, digest_of
from pipelines.sources.otlp_items import MAX_ITEMS
from pipelines.sources.otlp_messages import MALFORMED, MAX_JSON_VALUES, Kind, Message, Protobuf
from pipelines.sources.protobuf import Parts, TooManyPartsError
from pipelines.sources.remote_write import uncompressed

PUSH = Message((1, "streams", Kind.MESSAGES))
STREAM = Message((1, "labels", Kind.TEXT), (2, "entries", Kind.MESSAGES))
ENTRY = Message((1, "timestamp", Kind.MESSAGE), (2, "line", Kind.TEXT), (3, "metadata", Kind.MESSAGES))
TIMESTAMP = Message((1, "seconds", Kind.INT64), (2, "nanos", Kind.INT64))
LABEL = Message((1, "name", Kind.TEXT), (2, "value", Kind.TEXT))

#: A label in the text of a stream: `app="shop"`, with the escapes of Go.
_LABEL = re.compile(r'\s*([A-Za-z_][\w.]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}

#: Time in ns, text and metadata of a line.
Entry = tuple[int, str, Mapping[str, str]]
#: Labels and entries of a stream, the entries as they came.
Stream = tuple[Mapping[str, str], Sequence[Any]]


def read_protobuf_push(body: bytes, services: ServiceRule) -> LogRequest:
    """The lines of a PushRequest.

    Args:
        body: compressed with snappy.
    Raises:
        InputError: it is no PushRequest, or has too many lines.
    """
    try:
        content = uncompressed(body)
        streams: Sequence[memoryview] = Protobuf().read(memoryview(content), PUSH).get("streams", [])
    except InputError:
        raise
    except MALFORMED as error:
        raise InputError("the body is not a PushRequest of Loki") from error
    if content and not streams:
        raise InputError("the body is not a PushRequest of Loki: it has no streams")
    return _Reading(services, _protobuf_stream, _protobuf_entry).request(streams, content)


def read_json_push(body: bytes, services: ServiceRule) -> LogRequest:
    """The lines of `{"streams": [{"stream": {...}, "values": [[time in ns, line], ...]}, ...]}`.

    Raises:
        InputError: the body is not of this form, or has too many lines.
    """
    if body.count(b",") >= MAX_JSON_VALUES:
        raise InputError(f"the body holds more than {MAX_JSON_VALUES} values; send it in parts")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("the body is not JSON") from error
    streams = found.get("streams") if isinstance(found, dict) else None
    if not isinstance(streams, list):
        raise InputError("the body is not a push of Loki: it has no list of streams")
    return _Reading(services, _json_stream, _json_entry).request(streams, body)


class _Reading:
    """Collects the lines of one request."""

    def __init__(
        self, services: ServiceRule, stream: Callable[[Any], Stream], entry: Callable[[Any], Entry]
    ) -> None:
        self._services = services
        self._stream = stream
        self._entry = entry
        self._parts = Parts(MAX_ITEMS, "streams and lines; send smaller batches")
        self._rejected: list[tuple[str, str]] = []
        self._lines: list[LogLine] = []

    def request(self, streams: Sequence[Any], body: bytes) -> LogRequest:
        for raw in streams:
            self._parts.take(1)
            try:
                labels, entries = self._stream(raw)
                service = self._services.service_of(labels) or "unknown"
                require_name(service, "service")
            except MALFORMED as error:
                self._reject({}, f"the stream cannot be read: {error}")
                continue
            self._parts.take(len(entries))
            for one in entries:
                self._take(service, labels, one)
        return LogRequest(self._lines, digest_of(body), self._rejected, len(self._rejected))

    def _take(self, service: str, labels: Mapping[str, str], raw: Any) -> None:
        try:
            at_ns, text, metadata = self._entry(raw)
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self._reject({"service": service}, f"the line cannot be read: {error}")
            return
        level = level_of_fields(metadata) or level_of_fields(labels) or level_of_text(text)
        self._lines.append(LogLine(service, at_ns, level or UNKNOWN, text))

    def _reject(self, row: Mapping[str, str], reason: str) -> None:
        self._rejected.append((json.dumps(row), masked(reason)))


def _protobuf_stream(raw: memoryview) -> Stream:
    fields = Protobuf().read(raw, STREAM)
    return dict(labels_in(fields.get("labels", ""))), fields.get("entries", [])


def _protobuf_entry(raw: memoryview) -> Entry:
    read = Protobuf().read
    fields = read(raw, ENTRY)
    time = read(fields["timestamp"], TIMESTAMP) if "timestamp" in fields else {}
    at_ns = time.get("seconds", 0) * 10**9 + time.get("nanos", 0)
    if at_ns <= 0:
        raise InputError("it has no time")
    pairs = [read(one, LABEL) for one in fields.get("metadata", [])]
    return at_ns, fields.get("line", ""), {one.get("name", ""): one.get("value", "") for one in pairs}


def labels_in(text: str) -> Iterator[tuple[str, str]]:
    """The labels of a stream as Loki writes them.

    Raises:
        InputError: the text is not of this form.

    Examples:
        >>> dict(labels_in('{app="shop", path="C:\\\\\\\\logs", level="error"}'))
        {'app': 'shop', 'path': 'C:\\\\logs', 'level': 'error'}
    """
    if not (text.startswith("{") and text.endswith("}")):
        raise InputError("its labels do not stand in braces")
    inner, at = text[1:-1].rstrip(), 0
    while at < len(inner):
        found = _LABEL.match(inner, at)
        if found is None:
            raise InputError('its labels are not of the form name="value"')
        yield found[1], _ESCAPE.sub(_unescaped, found[2])
        at = found.end()


def _unescaped(found: re.Match[str]) -> str:
    sign = found[1]
    return chr(int(sign[1:], 16)) if len(sign) > 1 else _ESCAPES.get(sign, sign)


def _json_stream(raw: Any) -> Stream:
    labels, values = (raw.get("stream"), raw.get("values")) if isinstance(raw, dict) else (None, None)
    if not isinstance(values, list):
        raise InputError("it has no list of values")
    return _texts(labels), values


def _json_entry(raw: Any) -> Entry:
    if not isinstance(raw, list) or len(raw) not in {2, 3} or not isinstance(raw[1], str):
        raise InputError("it is not a time and a text")
    if not isinstance(raw[0], str) or not raw[0].isdecimal() or len(raw[0]) > 20 or int(raw[0]) == 0:
        raise InputError("its time is not a text of nanoseconds since 1970")
    return int(raw[0]), raw[1], _texts(raw[2]) if len(raw) == 3 else {}


def _texts(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise InputError("its labels are not an object of texts")
    return raw
