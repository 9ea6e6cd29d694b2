"""Which priority lane an alert webhook belongs into: alerts that are not critical must not delay critical ones."""

from pydantic import BaseModel, JsonValue

from core.domain import Severity
from core.intake import PriorityLane
from pipelines.sources.webhook_formats.severities import severity_of
from serving.contract.pushes import AlertsWebhook

#: The fields in which senders write how severe an alert is.
_FIELDS = frozenset({"severity", "priority", "urgency", "level", "alert_type", "message_type"})


def alert_lane(webhook: BaseModel) -> PriorityLane:
    """ALERTS if one of the alerts is critical or none tells its severity, else WARNINGS."""
    if not isinstance(webhook, AlertsWebhook):
        raise TypeError(f"this is no webhook of alerts: {type(webhook).__name__}")
    severities = _severities(webhook.root)
    if severities and Severity.CRITICAL not in severities:
        return PriorityLane.WARNINGS
    return PriorityLane.ALERTS


def _severities(body: JsonValue) -> set[Severity]:
    found: set[Severity] = set()
    parts = [body]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            words = (value for name, value in part.items() if name.lower() in _FIELDS)
            found.update(severity_of(word) for word in words if isinstance(word, str))
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return found
