"""Requests of traces: both encodings give equal spans, ids are no operations, and nothing breaks the reader."""

import json
from contextlib import suppress

import pytest
from fakes.otlp_traces import CLIENT, ERROR, resource_spans, span, traces, traces_as_json
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from core.errors import InputError
from core.service_names import ServiceRule
from models.metrics.operation_names import operation_of
from pipelines.sources.otlp_messages import Json, Protobuf
from pipelines.sources.otlp_spans import TraceRequest, read_traces

TEXTS = st.sampled_from(["", "a", "a\0", "GET /users/4711", "ümlaut", "x" * 500, "10.0.0.1:80", "503"])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["http.response.status_code", "peer.service", "server.address", "x"]),
    st.one_of(TEXTS, st.integers(0, 999)),
)
SPANS = st.builds(
    span,
    st.integers(0, 9),
    name=TEXTS,
    kind=st.integers(0, 5),
    parent=st.one_of(st.none(), st.integers(0, 9)),
    end_s=st.integers(-100, 100),
    duration_s=st.floats(-1, 100),
    attributes=ATTRIBUTES,
    status=st.builds(Status, code=st.integers(0, 2)),
)


def both(message: ExportTraceServiceRequest) -> tuple[TraceRequest, TraceRequest]:
    rule = ServiceRule()
    return (
        read_traces(message.SerializeToString(), Protobuf(), rule),
        read_traces(traces_as_json(message), Json(), rule),
    )


@settings(max_examples=60)
@given(st.lists(st.lists(SPANS, max_size=3), max_size=3), TEXTS)
def test_both_encodings_give_equal_spans(resources: list[list[Span]], name: str) -> None:
    found, other = both(
        traces(*[resource_spans(*some, resource={"service.name": name}) for some in resources])
    )
    assert found.spans == other.spans
    assert [reason for _, reason in found.rejected] == [reason for _, reason in other.rejected]
    assert found.rejected_spans == other.rejected_spans


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes, at: int, cut: bytes) -> None:
    good = traces(span(1, attributes={"http.response.status_code": 500}), span(2, kind=CLIENT, parent=1))
    for whole, encoding in ((good.SerializeToString(), Protobuf()), (traces_as_json(good), Json())):
        for one in (body, whole[:at] + cut + whole[at:], whole[:at] + cut + whole[at + len(cut) :]):
            with suppress(InputError):
                read_traces(one, encoding, ServiceRule())


@pytest.mark.parametrize(
    ("code", "status", "is_error"),
    [
        (0, 200, False),
        (0, 404, False),
        (0, 500, True),
        (0, "503", True),
        (0, "5xx", False),
        (1, 500, False),
        (ERROR, 200, True),
        (ERROR, "", True),
    ],
)
def test_a_request_failed_by_its_status_or_by_that_of_http(code: int, status: object, is_error: bool) -> None:
    one = span(1, attributes={"http.response.status_code": status}, status=Status(code=code))  # type: ignore[arg-type]
    for found in both(traces(one)):
        assert [read.is_error for read in found.spans] == [is_error]


def test_names_of_enumerations_and_fields_of_newer_versions_are_read() -> None:
    body = json.loads(traces_as_json(traces(span(1))))
    (part,) = body["resourceSpans"]
    part["scopeSpans"][0]["spans"][0] |= {
        "kind": "SPAN_KIND_SERVER",
        "unknown": [1],
        "status": {"code": "STATUS_CODE_ERROR"},
    }
    found = read_traces(json.dumps(body).encode(), Json(), ServiceRule())
    assert [(one.is_entry, one.is_error) for one in found.spans] == [(True, True)]


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("GET /users/4711", "GET /users/{id}"),
        ("GET /users/{userId}", "GET /users/{userId}"),
        ("GET /users/:id/orders", "GET /users/:id/orders"),
        ("GET /f/0b1c9a52-4a3e-4c1a-9a7e-5f8f7a1c2b3d.png", "GET /f/{id}.png"),
        ("GET /f/9f86d081884c7d65", "GET /f/{id}"),
        ("POST /v1/traces", "POST /v1/traces"),
        ("grpc.health.v1.Health/Check", "grpc.health.v1.Health/Check"),
        ("orders process", "orders process"),
        ("HTTP GET", "HTTP GET"),
        ("sha256 of file", "sha256 of file"),
        ("GET /search?q=secret&page=2", "GET /search"),
        ("SELECT * FROM t WHERE id = 17", "SELECT * FROM t WHERE id = {id}"),
        ("order-20261129-000123", "{id}"),
        ("  ", "unknown"),
    ],
)
def test_ids_are_taken_out_of_the_names_of_operations(name: str, operation: str) -> None:
    assert operation_of(name) == operation
