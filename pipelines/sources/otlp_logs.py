"""Reads logs of OpenTelemetry: time, level and text of each line.

References:
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
    https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
"""

from typing import Any

from core.errors import InputError
from core.service_names import ServiceRule
from models.metrics.log_levels import (
    LEVEL_FIELDS,
    UNKNOWN,
    level_of_fields,
    level_of_number,
    level_of_text,
    level_of_word,
)
from pipelines.sources.log_lines import LogLine, LogRequest, digest_of
from pipelines.sources.otlp_attributes import labels_of, text_of
from pipelines.sources.otlp_items import ItemReader
from pipelines.sources.otlp_messages import KEY_VALUE, MALFORMED, Encoding, Kind, Message, RequestForm

LOGS = RequestForm("logs", "resourceLogs", "scopeLogs", "logRecords")
LOG_RECORD = Message(
    (1, "timeUnixNano", Kind.FIXED64),
    (2, "severityNumber", Kind.UINT32),
    (3, "severityText", Kind.TEXT),
    (5, "body", Kind.MESSAGE),
    (6, "attributes", Kind.MESSAGES),
    (11, "observedTimeUnixNano", Kind.FIXED64),
)


def read_logs(body: bytes, encoding: Encoding, services: ServiceRule) -> LogRequest:
    """The lines of an ExportLogsServiceRequest.

    Raises:
        InputError: the body is no such request, or has too many lines.
    """
    reader = ItemReader(LOGS, encoding, services, is_secret=True)
    lines: list[LogLine] = []
    for service, raw in reader.read(body):
        try:
            lines.append(_line(encoding, service, raw))
        except MALFORMED as error:
            reader.reject(
                {"service": service, "record": reader.shown(raw)}, f"the log record cannot be read: {error}"
            )
    return LogRequest(lines, digest_of(body), reader.rejected, reader.rejected_items)


def _line(encoding: Encoding, service: str, raw: Any) -> LogLine:
    fields = encoding.read(raw, LOG_RECORD)
    at = fields.get("timeUnixNano", 0) or fields.get("observedTimeUnixNano", 0)
    if not at:
        raise InputError("it has no time")
    text = text_of(encoding, fields.get("body"))
    level = (
        level_of_number(fields.get("severityNumber", 0))
        or level_of_word(fields.get("severityText", ""))
        or level_of_fields(_level_attributes(encoding, fields.get("attributes", [])))
        or level_of_text(text)
    )
    return LogLine(service, at, level or UNKNOWN, text)


def _level_attributes(encoding: Encoding, attributes: list[Any]) -> dict[str, str]:
    return labels_of(
        encoding, [raw for raw in attributes if encoding.read(raw, KEY_VALUE).get("key") in LEVEL_FIELDS]
    )
