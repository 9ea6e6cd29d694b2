"""The endpoints that take metrics, traces and logs of OpenTelemetry by OTLP/HTTP, and the responses that OTLP demands.

References:
    https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

import json
from dataclasses import replace

from starlette.responses import Response
from typing_extensions import TypedDict  # Pydantic needs this one before Python 3.12

from core.intake import PriorityLane
from pipelines.collect.ingest import IngestReport
from pipelines.collect.push import store_pushed
from pipelines.collect.store_logs import store_logs
from pipelines.collect.store_traces import store_traces
from pipelines.sources.otlp import decompressed
from pipelines.sources.otlp_logs import read_logs
from pipelines.sources.otlp_messages import Encoding, Json, Protobuf
from pipelines.sources.otlp_spans import read_traces
from pipelines.sources.protobuf import bytes_field, varint_field
from serving.contract.errors import readable
from serving.contract.otlp_errors import as_status
from serving.contract.pushes import (
    OtlpBody,
    OtlpJson,
    OtlpLogs,
    OtlpLogsJson,
    OtlpMetrics,
    OtlpTraces,
    OtlpTracesJson,
)
from serving.endpoints.receipts import count_lines, count_samples, count_spans
from serving.endpoints.route import JSON, PROTOBUF, Call, Route
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext


class PartialSuccess(TypedDict):
    """How many data points were rejected, as a text; they are dead letters. And the first reason."""

    rejectedDataPoints: str
    errorMessage: str


class OtlpResponse(TypedDict, total=False):
    """An ExportMetricsServiceResponse. It is empty when everything was stored."""

    partialSuccess: PartialSuccess


class PartialLogs(TypedDict):
    """How many log records were rejected, as a text; they are dead letters. And the first reason."""

    rejectedLogRecords: str
    errorMessage: str


class OtlpLogsResponse(TypedDict, total=False):
    """An ExportLogsServiceResponse. It is empty when everything was stored."""

    partialSuccess: PartialLogs


class PartialTraces(TypedDict):
    """How many spans were rejected, as a text; they are dead letters. And the first reason."""

    rejectedSpans: str
    errorMessage: str


class OtlpTracesResponse(TypedDict, total=False):
    """An ExportTraceServiceResponse. It is empty when everything was stored."""

    partialSuccess: PartialTraces


def take_otlp(runtime: Runtime, call: Call) -> Response:
    """Store the metrics of a request. Its senders repeat it after a 429 or a 503, and after no other error.

    Raises:
        InputError: the body is not an ExportMetricsServiceRequest.
        UnavailableError: the database does not respond; nothing of the request is kept.
    """
    context = runtime.context(call.tenant_name)
    keeps_raw = context.platform.settings.golden_signals
    report, rejected = (_staged if keeps_raw else _stored)(context, *_body(call, OtlpMetrics))
    count_samples(call.receipt, report)
    reason = (report.first_rejected or "") if report.rejected else ""
    return _response(call.media_type, "rejectedDataPoints", rejected, reason)


def _staged(context: TenantContext, body: bytes, encoding: Encoding) -> tuple[IngestReport, int]:
    """Keep the raw samples of a request; returns also how many points are rejected."""
    request = context.otlp.decode_raw(body, encoding)
    kept = context.staging.store(context.otlp.name, request)
    return kept.report, request.rejected_with(kept.samples)


def _stored(context: TenantContext, body: bytes, encoding: Encoding) -> tuple[IngestReport, int]:
    """Store the series of a request; returns also how many points are rejected."""
    request = context.otlp.decode(body, encoding)
    describe = context.stored_sidecars().added_to
    report = store_pushed(context.platform, context.otlp, request, describe)
    # What the store rejects are samples; a point of a histogram has several.
    of_store = report.rejected - (0 if request.content.rejected is None else request.content.rejected.height)
    points = min(of_store, request.points - request.rejected) if of_store else 0
    return report, request.rejected + points


def take_traces(runtime: Runtime, call: Call) -> Response:
    """Store what the spans of a request tell; errors as for metrics.

    Raises:
        InputError: the body is not an ExportTraceServiceRequest.
        UnavailableError: the database does not respond; nothing of the request is kept.
    """
    context = runtime.context(call.tenant_name)
    request = read_traces(*_body(call, OtlpTraces), context.services)
    stored = store_traces(context.platform, request)
    count_spans(call.receipt, request, stored)
    return _response(call.media_type, "rejectedSpans", stored.rejected, stored.first_rejected or "")


def take_logs(runtime: Runtime, call: Call) -> Response:
    """Count the log records of a request; errors as for metrics.

    Raises:
        InputError: the body is not an ExportLogsServiceRequest.
        UnavailableError: the database does not respond; nothing of the request is kept.
    """
    context = runtime.context(call.tenant_name)
    request = read_logs(*_body(call, OtlpLogs), context.services)
    stored = store_logs(context.platform, request)
    count_lines(call.receipt, request, stored)
    return _response(call.media_type, "rejectedLogRecords", stored.rejected, stored.first_rejected or "")


def _body(call: Call, kind: type[OtlpBody]) -> tuple[bytes, Encoding]:
    """The body of a request without compression, and its encoding."""
    body = call.request_as(kind).root
    if call.compression == "gzip":
        body = decompressed(body)
    return body, Json() if call.media_type == JSON else Protobuf()


def _response(media_type: str, counted: str, rejected: int, reason: str) -> Response:
    """An Export...ServiceResponse in the encoding of the request.

    Args:
        counted: the name in JSON of the number of rejected items.
        reason: why the first of them was rejected; empty: none was.
    """
    reason = readable(reason)
    if media_type == JSON:
        content = {"partialSuccess": {counted: str(rejected), "errorMessage": reason}} if reason else {}
        return Response(json.dumps(content), media_type=JSON)
    partial = varint_field(1, rejected) + bytes_field(2, reason.encode()) if reason else b""
    return Response(bytes_field(1, partial) if partial else b"", media_type=PROTOBUF)


ROUTE = Route(
    method="POST",
    lane=PriorityLane.METRICS,
    source="otlp_metrics",
    path="/v1/metrics",
    summary="Store the metrics that OpenTelemetry pushes by OTLP/HTTP, in protobuf or JSON.",
    handler=take_otlp,
    request=OtlpMetrics,
    media_type=PROTOBUF,
    json_form=OtlpJson,
    compressions=("identity", "gzip"),
    response=OtlpResponse,
    errors=as_status,
)
TRACES_ROUTE = replace(
    ROUTE,
    path="/v1/traces",
    lane=PriorityLane.BACKGROUND,
    source="otlp_traces",
    summary="Store requests, errors and latency of the spans that OpenTelemetry pushes by OTLP/HTTP.",
    handler=take_traces,
    request=OtlpTraces,
    json_form=OtlpTracesJson,
    response=OtlpTracesResponse,
)
LOGS_ROUTE = replace(
    ROUTE,
    path="/v1/logs",
    lane=PriorityLane.BACKGROUND,
    source="otlp_logs",
    summary="Count the log lines that OpenTelemetry pushes by OTLP/HTTP, by service and level.",
    handler=take_logs,
    request=OtlpLogs,
    json_form=OtlpLogsJson,
    response=OtlpLogsResponse,
)
