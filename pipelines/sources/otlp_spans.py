"""Reads traces of OpenTelemetry: what each span tells about the operations of its service, and whom the service calls.

References:
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
    https://opentelemetry.io/docs/specs/otel/trace/api/#spankind
    https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from core.checks import require_name, require_plain_text
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from models.metrics.duration_buckets import bucket_of
from models.metrics.operation_names import operation_of
from models.metrics.signal_series import host_name, is_address
from pipelines.sources.otlp_attributes import labels_of
from pipelines.sources.otlp_items import ItemReader
from pipelines.sources.otlp_messages import KEY_VALUE, MALFORMED, Encoding, Kind, Message, RequestForm

TRACES = RequestForm("traces", "resourceSpans", "scopeSpans", "spans")
SPAN = Message(
    (1, "traceId", Kind.ID),
    (2, "spanId", Kind.ID),
    (4, "parentSpanId", Kind.ID),
    (5, "name", Kind.TEXT),
    (6, "kind", Kind.UINT32),
    (7, "startTimeUnixNano", Kind.FIXED64),
    (8, "endTimeUnixNano", Kind.FIXED64),
    (9, "attributes", Kind.MESSAGES),
    (15, "status", Kind.MESSAGE),
)
STATUS = Message((3, "code", Kind.UINT32))
_OK, _ERROR = 1, 2
_TRACE_BYTES, _SPAN_BYTES = 16, 8

#: Attributes that hold the status of a response, ...
_STATUSES = ("http.response.status_code", "http.status_code")
#: ... name the service that is called, ...
_PEERS = ("service.peer.name", "peer.service")
#: ... or its address.
_ADDRESSES = ("server.address", "net.peer.name")
_READ = frozenset({*_STATUSES, *_PEERS, *_ADDRESSES})


class SpanKind(IntEnum):
    """What a span is within its trace."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


_ENTRIES = {SpanKind.SERVER, SpanKind.CONSUMER}
_CALLS = {SpanKind.CLIENT, SpanKind.PRODUCER}


@dataclass(frozen=True, slots=True)
class Span:
    """A span that begins the work of a service (`is_entry`), or calls another service.

    Attributes:
        key: of trace and span; `parent` is that of its parent, null for a root.
        operation: its name without ids.
        bucket: of its duration, see `models.metrics.duration_buckets`.
        peer: the service that it calls, where the span names it.
        hosts: names of that service, perhaps: those of its host.
    """

    service: str
    key: int
    parent: int | None
    is_entry: bool
    operation: str
    end_ns: int
    bucket: int
    is_error: bool
    peer: str | None
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """A decoded request.

    Attributes:
        spans: those that tell something; spans within a service do not.
        rejected: rows and reasons of what cannot be read.
        rejected_spans: how many spans these are.
    """

    spans: Sequence[Span]
    rejected: Sequence[tuple[str, str]]
    rejected_spans: int


def read_traces(body: bytes, encoding: Encoding, services: ServiceRule) -> TraceRequest:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        InputError: the body is no such request, or has too many spans.
    """
    reader = ItemReader(TRACES, encoding, services)
    spans: list[Span] = []
    for service, raw in reader.read(body):
        try:
            span = _span(encoding, service, raw)
        except MALFORMED as error:
            reader.reject({"span": reader.shown(raw)}, f"the span cannot be stored: {error}")
        else:
            spans += [] if span is None else [span]
    return TraceRequest(spans, reader.rejected, reader.rejected_items)


def _span(encoding: Encoding, service: str, raw: Any) -> Span | None:
    """A span; null for one that is only a part of the work within its service."""
    fields = encoding.read(raw, SPAN)
    trace, own = fields.get("traceId", b""), fields.get("spanId", b"")
    parent = fields.get("parentSpanId", b"")
    if len(trace) != _TRACE_BYTES or not any(trace) or len(own) != _SPAN_BYTES or not any(own):
        raise InputError("it has no valid trace id and span id")
    start, end = fields.get("startTimeUnixNano", 0), fields.get("endTimeUnixNano", 0)
    if not end:
        raise InputError("it has no end")
    if start > end:
        raise InputError("it ends before it starts")
    kind = fields.get("kind", 0)
    is_root = not any(parent)
    if kind not in _ENTRIES | _CALLS and not is_root:
        return None
    known = _attributes(encoding, fields.get("attributes", []))
    name = fields.get("name", "")
    require_plain_text(name, "its name")
    peer = _first(known, _PEERS) if kind in _CALLS else None
    if peer is not None:
        require_name(peer, "the service that it calls")
    address = host_name(_first(known, _ADDRESSES) or "")
    return Span(
        service=service,
        key=_key(trace, own),
        parent=None if is_root else _key(trace, parent),
        is_entry=kind not in _CALLS,
        operation=operation_of(name),
        end_ns=end,
        bucket=bucket_of(end - start),
        is_error=_is_error(encoding, fields, known),
        peer=peer,
        hosts=_service_names(address) if kind in _CALLS else (),
    )


def _attributes(encoding: Encoding, attributes: Sequence[Any]) -> dict[str, str]:
    """The attributes that are of use; the others are not read."""
    return labels_of(
        encoding, [raw for raw in attributes if encoding.read(raw, KEY_VALUE).get("key") in _READ]
    )


def _is_error(encoding: Encoding, fields: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    """Whether the operation failed. A status that somebody has set to OK counts more than that of HTTP."""
    code = encoding.read(fields["status"], STATUS).get("code", 0) if "status" in fields else 0
    status = _first(known, _STATUSES) or ""
    return code == _ERROR or (code != _OK and status.isdecimal() and len(status) == 3 and status >= "500")


def _first(known: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((known[name] for name in names if known.get(name, "").strip()), None)


def _service_names(host: str) -> tuple[str, ...]:
    """Names that the service on a host may have: `payments` of `payments.shop.svc`."""
    if name_problem(host) is not None or is_address(host):
        return ()
    return tuple(dict.fromkeys((host, host.partition(".")[0])))


def _key(trace: bytes, span: bytes) -> int:
    """A signed number of 64 bits that tells spans apart."""
    return int.from_bytes(hashlib.blake2b(trace + span, digest_size=8).digest(), "big", signed=True)
