"""The OpenTelemetry SDK's traces go to the service; the next watch cycle makes series and edges of them."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from e2e.fleet import Fleet
from fakes.otlp_traces import span, traces, traces_as_json, traces_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from core.clock import FixedClock
from pipelines.collect.summarise_traces import summarise_traces
from pipelines.common.service_graph import graph_of
from pipelines.wiring import open_platform

TRACES = "/v1/traces"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}


def posted(
    fleet: Fleet, tenant: str, body: bytes, headers: dict[str, str], path: str = TRACES
) -> httpx.Response:
    key = fleet.keys.get(tenant) or fleet.tenancy.keys.create(tenant)
    headers = {**headers, "Authorization": f"Bearer {key}"}
    return httpx.post(f"{fleet.url}{path}", content=body, headers=headers, timeout=60, trust_env=False)


def traced() -> Sequence[ReadableSpan]:
    """Ten requests to a shop, each of which calls the payments; three of them fail."""
    exporter = InMemorySpanExporter()
    tracers = {}
    for service in ("shop", "payments"):
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracers[service] = provider.get_tracer("test")
    for number in range(10):
        with tracers["shop"].start_as_current_span(f"POST /orders/{number}", kind=SpanKind.SERVER) as server:
            with tracers["shop"].start_as_current_span("prepare"):
                pass
            with tracers["shop"].start_as_current_span("POST", kind=SpanKind.CLIENT) as client:
                callee = tracers["payments"].start_span(
                    "POST /pay", context=set_span_in_context(client), kind=SpanKind.SERVER
                )
                callee.end()
            if number < 3:
                server.set_status(StatusCode.ERROR)
    return exporter.get_finished_spans()


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
def test_what_the_sdk_traces_becomes_series_and_edges(fleet: Fleet, is_json: bool) -> None:
    tenant = f"traces-{'json' if is_json else 'protobuf'}"
    message = traces_of(traced())
    if is_json:
        answer = posted(fleet, tenant, gzip.compress(traces_as_json(message)), {**JSON, **GZIP})
        assert (answer.status_code, answer.json()) == (200, {})
    else:
        answer = posted(fleet, tenant, message.SerializeToString(), PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    later = FixedClock(datetime.now(UTC) + timedelta(minutes=5))
    with open_platform(fleet.settings, tenant=tenant, clock=later) as platform:
        summarise_traces(platform)
        series = {
            (one.service, one.labels["operation"], one.metric): one for one in platform.store.series.find()
        }
        errors = series["shop", "POST /orders/{id}", "operation_error_ratio"]
        samples = platform.store.samples.read(
            later.now() - timedelta(hours=1), later.now(), [errors.series_id]
        )
        # the requests may lie in two steps; a ratio of a few requests is one of 20
        assert round(samples["value"].sum() * 20) == 3
        assert ("payments", "POST /pay", "operation_p99_seconds") in series
        assert {operation for _, operation, _ in series} == {"POST /orders/{id}", "POST /pay"}
        assert graph_of(platform, platform.store.series.find()) == (("shop", "payments"),)


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
def test_rejected_spans_are_counted_in_the_response(fleet: Fleet, is_json: bool) -> None:
    message = traces(span(1, duration_s=-5.0), span(2, duration_s=-5.0))
    body, headers = (traces_as_json(message), JSON) if is_json else (message.SerializeToString(), PROTOBUF)
    answer = posted(fleet, f"traces-bad-{'json' if is_json else 'protobuf'}", body, headers)
    assert answer.status_code == 200
    if is_json:
        partial = answer.json()["partialSuccess"]
        assert (partial["rejectedSpans"], "before it starts" in partial["errorMessage"]) == ("2", True)
    else:
        success = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (success.rejected_spans, "before it starts" in success.error_message) == (2, True)


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"nonsense", PROTOBUF, 400, "not an OTLP request for traces"),
        (b'{"resourceMetrics": []}', JSON, 400, "no resourceSpans"),
        (b"x", {"Content-Type": "text/plain"}, 415, "application/x-protobuf or application/json"),
    ],
    ids=["protobuf", "metrics", "text"],
)
def test_what_is_no_request_is_refused_with_one_sentence(
    fleet: Fleet, body: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = posted(fleet, "empty", body, headers)
    assert answer.status_code == status
    if headers == PROTOBUF:
        # a google.rpc.Status: its fields have the numbers and types of the fields of a partial success
        assert reason in ExportTracePartialSuccess.FromString(answer.content).error_message
    else:
        assert reason in answer.json()["error"]
    assert httpx.post(f"{fleet.url}{TRACES}", content=json.dumps({}), headers=JSON).status_code == 401
