"""The bodies that other programs push: webhooks, remote_write, OTLP. Their formats are checked where they are read."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, RootModel

#: Each entry costs a query. Larger bodies would block others.
MAX_ENTRIES = 5_000
_EXAMPLE_RESOURCE: JsonValue = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
_EXAMPLE_SPAN: JsonValue = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "POST /orders",
    "kind": 2,
    "startTimeUnixNano": "1769860800000000000",
    "endTimeUnixNano": "1769860800250000000",
}
_EXAMPLE_LOG: JsonValue = {
    "timeUnixNano": "1769860800000000000",
    "severityNumber": 17,
    "body": {"stringValue": "no connection to orders-db"},
}
_EXAMPLE_METRIC: JsonValue = {
    "name": "queue.depth",
    "unit": "{message}",
    "gauge": {"dataPoints": [{"timeUnixNano": "1769860800000000000", "asInt": "12"}]},
}


def _require_few_entries(body: JsonValue) -> JsonValue:
    """A body holds at most `MAX_ENTRIES` entries."""
    parts = {"the body": body, **(body if isinstance(body, dict) else {})}
    for name, part in parts.items():
        if isinstance(part, list) and len(part) > MAX_ENTRIES:
            raise ValueError(f"{name} should hold at most {MAX_ENTRIES} entries, not {len(part)}")
    return body


WebhookBody = Annotated[JsonValue, AfterValidator(_require_few_entries)]


class DeploysWebhook(RootModel[WebhookBody]):
    """The webhook of a tool for deploys or feature flags, or one or several events in the plain format."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"service": "checkout", "at": "2026-01-31T12:01:00Z", "version": "2.3.1", "kind": "deploy"}
            ]
        }
    )


class RemoteWrite(RootModel[bytes]):
    """A WriteRequest or, in version 2, a Request of Prometheus: protobuf, compressed with snappy."""


class OtlpBody(RootModel[bytes]):
    """A request of OpenTelemetry, in protobuf."""


def _with_example(resources: str, scopes: str, content: dict[str, JsonValue]) -> ConfigDict:
    """The example of an OTLP request: what one resource reports in one scope."""
    example: dict[str, JsonValue] = {resources: [{"resource": _EXAMPLE_RESOURCE, scopes: [content]}]}
    return ConfigDict(json_schema_extra={"examples": [example]})


class OtlpMetrics(OtlpBody):
    """An ExportMetricsServiceRequest of OpenTelemetry, in protobuf."""


class OtlpJson(BaseModel):
    """An ExportMetricsServiceRequest of OpenTelemetry, in OTLP's JSON. Its parts are checked where they are read."""

    model_config = _with_example("resourceMetrics", "scopeMetrics", {"metrics": [_EXAMPLE_METRIC]})

    resourceMetrics: list[dict[str, JsonValue]]  # noqa: N815 - a name of OTLP


class OtlpTraces(OtlpBody):
    """An ExportTraceServiceRequest of OpenTelemetry, in protobuf."""


class OtlpTracesJson(BaseModel):
    """An ExportTraceServiceRequest of OpenTelemetry, in OTLP's JSON. Its parts are checked where they are read."""

    model_config = _with_example("resourceSpans", "scopeSpans", {"spans": [_EXAMPLE_SPAN]})

    resourceSpans: list[dict[str, JsonValue]]  # noqa: N815 - a name of OTLP


class OtlpLogs(OtlpBody):
    """An ExportLogsServiceRequest of OpenTelemetry, in protobuf."""


class OtlpLogsJson(BaseModel):
    """An ExportLogsServiceRequest of OpenTelemetry, in OTLP's JSON. Its parts are checked where they are read."""

    model_config = _with_example("resourceLogs", "scopeLogs", {"logRecords": [_EXAMPLE_LOG]})

    resourceLogs: list[dict[str, JsonValue]]  # noqa: N815 - a name of OTLP


class LokiPush(RootModel[bytes]):
    """A PushRequest of Loki: protobuf, compressed with snappy."""


class LokiJson(BaseModel):
    """A push of Loki in JSON: of each stream its labels, and of each line its time in nanoseconds and its text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "streams": [
                        {
                            "stream": {"service_name": "checkout", "level": "error"},
                            "values": [["1769860800000000000", "no connection to orders-db"]],
                        }
                    ]
                }
            ]
        }
    )

    streams: list[dict[str, JsonValue]]


class AlertsWebhook(RootModel[WebhookBody]):
    """The webhook of an alerting tool. Alerts that Forewarn did not send itself are stored as incidents."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "alerts": [
                        {
                            "status": "firing",
                            "labels": {
                                "alertname": "HighErrorRate",
                                "service": "checkout",
                                "severity": "critical",
                            },
                            "startsAt": "2026-01-31T12:05:00Z",
                        }
                    ]
                }
            ]
        }
    )
