"""The OpenTelemetry SDK's logs go to the service; the next watch cycle makes series of them."""

import gzip
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from e2e.fleet import Fleet
from e2e.test_otlp_traces import GZIP, JSON, PROTOBUF, posted
from fakes.loki import Streams, json_push, protobuf_push
from fakes.otlp import as_json
from fakes.otlp_logs import logs, logs_of, record
from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from core.clock import FixedClock
from pipelines.collect.store_logs import METRIC, summarise_logs
from pipelines.wiring import open_platform

LOGS = "/v1/logs"
LOKI = "/loki/api/v1/push"


def logged() -> Sequence[ReadableLogRecord]:
    """Twelve lines of a shop: two by their severity, ten by their text."""
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("test")
    for number in range(2):
        logger.emit(
            timestamp=time.time_ns(), severity_number=SeverityNumber.ERROR, body=f"no connection {number}"
        )
    for number in range(10):
        logger.emit(timestamp=time.time_ns(), body=f"WARN slow answer {number}")
    return exporter.get_finished_logs()


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
def test_what_the_sdk_logs_becomes_series_by_level(fleet: Fleet, is_json: bool) -> None:
    tenant = f"logs-{'json' if is_json else 'protobuf'}"
    message = logs_of(logged())
    for _ in range(2):  # the second time the sender repeats the request
        if is_json:
            body = gzip.compress(as_json(message), mtime=0)
            answer = posted(fleet, tenant, body, {**JSON, **GZIP}, LOGS)
            assert (answer.status_code, answer.json()) == (200, {})
        else:
            answer = posted(fleet, tenant, message.SerializeToString(), PROTOBUF, LOGS)
            assert (answer.status_code, answer.content) == (200, b"")
    later = FixedClock(datetime.now(UTC) + timedelta(minutes=5))
    with open_platform(fleet.settings, tenant=tenant, clock=later) as platform:
        summarise_logs(platform)
        series = platform.store.series.find(service="shop", metric=METRIC)
        levels = {one.series_id: one.labels["level"] for one in series}
        samples = platform.store.samples.read(later.now() - timedelta(hours=1), later.now(), list(levels))
        lines = dict.fromkeys(levels.values(), 0)
        for series_id, _, value in samples.iter_rows():
            lines[levels[series_id]] += round(60 * value)
    assert lines == {"error": 2, "warning": 10}


def test_rejected_lines_are_counted_in_the_response(fleet: Fleet) -> None:
    body = logs(record("old", -1e6), record("old", -1e6)).SerializeToString()
    answer = posted(fleet, "logs-bad", body, PROTOBUF, LOGS)
    success = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (success.rejected_log_records, "too late" in success.error_message) == (2, True)


def test_what_is_no_request_for_logs_is_refused(fleet: Fleet) -> None:
    answer = posted(fleet, "empty", b'{"resourceSpans": []}', JSON, LOGS)
    assert (answer.status_code, "no resourceLogs" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
def test_lines_that_are_pushed_to_loki_are_counted(fleet: Fleet, is_json: bool) -> None:
    tenant = f"loki-{'json' if is_json else 'protobuf'}"
    streams: Streams = [({"app": "shop", "level": "error"}, [(time.time_ns(), "no connection", {})] * 3)]
    if is_json:
        answer = posted(fleet, tenant, gzip.compress(json_push(streams)), {**JSON, **GZIP}, LOKI)
    else:
        answer = posted(fleet, tenant, protobuf_push(streams), PROTOBUF, LOKI)
    assert (answer.status_code, answer.content) == (204, b"")
    old: Streams = [({"app": "shop"}, [(1_000, "x", {}), (time.time_ns(), "y", {})])]
    answer = posted(fleet, tenant, json_push(old), JSON, LOKI)
    assert (answer.status_code, "1 lines rejected, the others counted" in answer.json()["error"]) == (
        400,
        True,
    )
    later = FixedClock(datetime.now(UTC) + timedelta(minutes=5))
    with open_platform(fleet.settings, tenant=tenant, clock=later) as platform:
        summarise_logs(platform)
        series = platform.store.series.find(service="shop", metric=METRIC)
        assert {one.labels["level"] for one in series} == {"error", "unknown"}
