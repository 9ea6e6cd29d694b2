"""The bodies that other programs push: webhooks and remote_write. Their formats are checked where they are parsed."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, JsonValue, RootModel

#: Each entry costs a query. Larger bodies would block others.
MAX_ENTRIES = 5_000


def _require_few_entries(body: JsonValue) -> JsonValue:
    """A body holds at most `MAX_ENTRIES` entries."""
    parts = {"the body": body, **(body if isinstance(body, dict) else {})}
    for name, part in parts.items():
        if isinstance(part, list) and len(part) > MAX_ENTRIES:
            raise ValueError(f"{name} should hold at most {MAX_ENTRIES} entries, not {len(part)}")
    return body


WebhookBody = Annotated[JsonValue, AfterValidator(_require_few_entries)]


class DeploysWebhook(RootModel[WebhookBody]):
    """The webhook of a deploy tool (GitHub, GitLab, Argo CD, Flux), or one or several events in the plain format."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"service": "checkout", "at": "2026-01-31T12:01:00Z", "version": "2.3.1", "kind": "deploy"}
            ]
        }
    )


class RemoteWrite(RootModel[bytes]):
    """A WriteRequest of Prometheus: protobuf, compressed with snappy."""


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
