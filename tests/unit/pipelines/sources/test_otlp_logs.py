"""Requests of logs: the level of each line is found, both encodings give equal lines, and nothing breaks the reader."""

import json
from contextlib import suppress

import pytest
from fakes.otlp import as_json
from fakes.otlp_logs import logs, record, resource_logs
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.sources.log_lines import LogRequest
from pipelines.sources.otlp_logs import read_logs
from pipelines.sources.otlp_messages import Json, Protobuf

RULE = ServiceRule()
TEXTS = st.sampled_from(
    ["", "ERROR no answer", "a\0", "ümlaut", '{"level": "warn"}', "level=debug x", "x" * 500]
)
RECORDS = st.builds(
    record,
    st.one_of(TEXTS, st.integers(0, 9)),
    st.integers(-9, 9),
    severity=st.integers(0, 30),
    severity_text=TEXTS,
    attributes=st.dictionaries(st.sampled_from(["level", "x", ""]), TEXTS, max_size=2),
)


def read(*records: LogRecord) -> LogRequest:
    return read_logs(logs(*records).SerializeToString(), Protobuf(), RULE)


@pytest.mark.parametrize(
    ("one", "level"),
    [
        (record("x", severity=9), "info"),
        (record("x", severity=18), "error"),
        (record("ERROR x", severity=5), "debug"),
        (record("x", severity_text="Warning"), "warning"),
        (record("x", severity_text="CRITICAL"), "fatal"),
        (record("x", attributes={"level": "err"}), "error"),
        (record("x", attributes={"detected_level": "warn"}), "warning"),
        (record('{"msg": "x", "severity": "ERROR"}'), "error"),
        (record('{"msg": "error", "level": 30}'), "info"),
        (record('{"msg": "an error"'), "unknown"),
        (record('time=1 level=error msg="x"'), "error"),
        (record('time=1 lvl="WARN" msg="x"'), "warning"),
        (record("2026-01-05 12:00:00,123 [main] ERROR o.e.Shop - x"), "error"),
        (record("2026-01-05T12:00:00Z [error] x"), "error"),
        (record("INFO:root:x"), "info"),
        (record("E0105 12:00:00.000000 1 main.go:7] x"), "error"),
        (record("2026-01-05 12:00:00 UTC [7] FATAL:  x"), "fatal"),
        (record("<13>Jan 5 12:00:00 web1 app: x"), "unknown"),
        (record("GET /error/ERROR_PAGE 200"), "unknown"),
        (record("no error was found"), "unknown"),
    ],
    ids=range(20),
)
def test_the_level_comes_from_the_severity_else_from_the_fields_else_from_the_text(
    one: LogRecord, level: str
) -> None:
    assert [line.level for line in read(one).lines] == [level]


def test_a_body_that_is_no_text_is_json() -> None:
    one = record("x")
    one.body.kvlist_value.values.add(key="level", value={"string_value": "error"})
    (line,) = read(one).lines
    assert (line.level, line.text) == ("error", '{"level": "error"}')


@settings(max_examples=60)
@given(st.lists(st.lists(RECORDS, max_size=3), max_size=3), TEXTS)
def test_both_encodings_give_equal_lines(resources: list[list[LogRecord]], name: str) -> None:
    message = logs(*[resource_logs(*some, resource={"service.name": name}) for some in resources])
    found = read_logs(message.SerializeToString(), Protobuf(), RULE)
    other = read_logs(as_json(message), Json(), RULE)
    assert found.lines == other.lines
    assert found.rejected_lines == other.rejected_lines
    assert [reason for _, reason in found.rejected] == [reason for _, reason in other.rejected]


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes, at: int, cut: bytes) -> None:
    good = logs(record("ERROR x", attributes={"level": "info"}), record("y", severity=9))
    for whole, encoding in ((good.SerializeToString(), Protobuf()), (as_json(good), Json())):
        for one in (body, whole[:at] + cut + whole[at:], whole[:at] + cut + whole[at + len(cut) :]):
            with suppress(InputError):
                read_logs(one, encoding, RULE)


def test_nothing_of_a_line_that_cannot_be_read_is_kept() -> None:
    body = json.loads(as_json(logs(record("password=hunter2"), record("y"))))
    (part,) = body["resourceLogs"]
    first, _ = part["scopeLogs"][0]["logRecords"]
    first["severityText"] = ["password=hunter2"]
    found = read_logs(json.dumps(body).encode(), Json(), RULE)
    assert (len(found.lines), found.rejected_lines) == (1, 1)
    assert "hunter2" not in str(found.rejected)
    part["scopeLogs"][0]["logRecords"] = "password=hunter2"
    assert "hunter2" not in str(read_logs(json.dumps(body).encode(), Json(), RULE).rejected)
