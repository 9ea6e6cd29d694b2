"""Requests of OTLP logs, built from the messages of opentelemetry-proto."""

from collections.abc import Mapping, Sequence
from typing import Any

from fakes.otlp import SHOP, Attributes, any_value, attributes, ns
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk._logs import ReadableLogRecord


def record(text: str, at_s: float = 0.0, *, severity: int = 0, **more: Any) -> LogRecord:
    """A line that was logged `at_s` seconds after `T0`."""
    given = {**more, "attributes": attributes(more.get("attributes", {}))}
    return LogRecord(
        time_unix_nano=ns(at_s),
        body=any_value(text),
        severity_number=severity,  # type: ignore[arg-type]
        **given,
    )


def resource_logs(*records: LogRecord, resource: Attributes | None = None) -> ResourceLogs:
    return ResourceLogs(
        resource=Resource(attributes=attributes(SHOP if resource is None else resource)),
        scope_logs=[ScopeLogs(log_records=records)],
    )


def logs(*parts: ResourceLogs | LogRecord) -> ExportLogsServiceRequest:
    """A request; records belong to the resource `SHOP`."""
    own = [one for one in parts if isinstance(one, LogRecord)]
    whole = [one for one in parts if isinstance(one, ResourceLogs)]
    return ExportLogsServiceRequest(resource_logs=[*([resource_logs(*own)] if own else []), *whole])


def logs_of(records: Sequence[ReadableLogRecord]) -> ExportLogsServiceRequest:
    """The request in which the SDK's exporter sends these records."""
    return ExportLogsServiceRequest(
        resource_logs=[
            resource_logs(_of_sdk(one), resource=_plain(one.resource.attributes)) for one in records
        ]
    )


def _of_sdk(one: ReadableLogRecord) -> LogRecord:
    found = one.log_record
    return LogRecord(
        time_unix_nano=found.timestamp or 0,
        observed_time_unix_nano=found.observed_timestamp or 0,
        severity_number=0 if found.severity_number is None else found.severity_number.value,  # type: ignore[arg-type]
        severity_text=found.severity_text or "",
        body=any_value(str(found.body)),
        attributes=attributes(_plain(found.attributes)),
    )


def _plain(given: Mapping[str, Any] | None) -> Attributes:
    return dict(given or {})
