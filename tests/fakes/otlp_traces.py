"""Requests of OTLP traces, built from the messages of opentelemetry-proto, and spans of the SDK as such requests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.otlp import SHOP, Attributes, attributes, ns
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.trace import ReadableSpan

SERVER, CLIENT, CONSUMER = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_CONSUMER
INTERNAL = Span.SPAN_KIND_INTERNAL
ERROR = Status.STATUS_CODE_ERROR
#: The fields of a span that are hexadecimal in OTLP's JSON, not base64.
_IDS = ("traceId", "spanId", "parentSpanId")


def span(
    number: int,
    *,
    name: str = "GET /cart",
    kind: int = SERVER,
    parent: int | None = None,
    end_s: float = 0.0,
    duration_s: float = 0.1,
    **more: Any,
) -> Span:
    """A span that ended `end_s` seconds after `T0`; its parent is of the same trace."""
    given: dict[str, Any] = {"kind": kind, "name": name, **more}
    given["attributes"] = attributes(given.get("attributes", {}))
    return Span(
        trace_id=bytes(15) + b"\1",
        span_id=number.to_bytes(8, "big"),
        parent_span_id=b"" if parent is None else parent.to_bytes(8, "big"),
        start_time_unix_nano=ns(end_s) - round(duration_s * 1e9),
        end_time_unix_nano=ns(end_s),
        **given,
    )


def resource_spans(*spans: Span, resource: Attributes | None = None) -> ResourceSpans:
    return ResourceSpans(
        resource=Resource(attributes=attributes(SHOP if resource is None else resource)),
        scope_spans=[ScopeSpans(scope=InstrumentationScope(name="test"), spans=spans)],
    )


def traces(*parts: ResourceSpans | Span) -> ExportTraceServiceRequest:
    """A request; spans belong to the resource `SHOP`."""
    own = [one for one in parts if isinstance(one, Span)]
    whole = [one for one in parts if isinstance(one, ResourceSpans)]
    return ExportTraceServiceRequest(resource_spans=[*([resource_spans(*own)] if own else []), *whole])


def traces_as_json(message: ExportTraceServiceRequest) -> bytes:
    """The request in OTLP's JSON, where ids are hexadecimal and enumerations are numbers."""
    found = MessageToDict(message, use_integers_for_enums=True)
    parts: Sequence[Any] = found.get("resourceSpans", [])
    for part, of_part in zip(message.resource_spans, parts, strict=True):
        for scope, of_scope in zip(part.scope_spans, of_part.get("scopeSpans", []), strict=True):
            for one, of_one in zip(scope.spans, of_scope.get("spans", []), strict=True):
                ids = zip(_IDS, (one.trace_id, one.span_id, one.parent_span_id), strict=True)
                of_one.update({name: value.hex() for name, value in ids if value})
    return json.dumps(found).encode()


def traces_of(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """The request in which the SDK's exporter sends these spans."""
    return ExportTraceServiceRequest(
        resource_spans=[
            resource_spans(_of_sdk(one), resource=_plain(one.resource.attributes)) for one in spans
        ]
    )


def _of_sdk(one: ReadableSpan) -> Span:
    context = one.context
    assert context is not None
    return Span(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=b"" if one.parent is None else one.parent.span_id.to_bytes(8, "big"),
        name=one.name,
        kind=one.kind.value + 1,  # type: ignore[arg-type]
        start_time_unix_nano=one.start_time or 0,
        end_time_unix_nano=one.end_time or 0,
        attributes=attributes(_plain(one.attributes)),
        status=Status(code=one.status.status_code.value),  # type: ignore[arg-type]
    )


def _plain(given: Mapping[str, Any] | None) -> Attributes:
    return dict(given or {})
