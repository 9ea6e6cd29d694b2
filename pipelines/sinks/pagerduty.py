"""Sends alerts to PagerDuty, with its Events API v2. PagerDuty drops repeats by the id of the alert.

References:
    https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from core.alerts import Alert
from core.clock import Clock
from core.domain import Severity
from core.json_text import json_text
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.posting import Receiver

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
_SEVERITY_NAMES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
#: PagerDuty cuts longer summaries.
_MAX_SUMMARY = 1_024


class PagerDutySink:
    """Implements `core.alerts.AlertSink`. It posts one event in each request, as the API requires."""

    name = "pagerduty"

    def __init__(self, routing_key: SecretStr, links: Links, clock: Clock, url: str = EVENTS_URL) -> None:
        self._receiver = Receiver(self.name, url, clock, (routing_key.get_secret_value(),))
        self._routing_key = routing_key
        self._links = links
        self._clock = clock

    @classmethod
    def configured(cls, setup: SinkSetup) -> "PagerDutySink | None":
        """The sink of `FOREWARN_PAGERDUTY_ROUTING_KEY`; null where it is not set."""
        key = setup.settings.pagerduty_routing_key
        return cls(key, setup.links, setup.clock) if key else None

    def send(self, alerts: Sequence[Alert]) -> None:
        now = self._clock.now()
        for alert in alerts:
            body = json_text(self._event(alert, now), indent=None).encode()
            self._receiver.post(body, {"Content-Type": "application/json"})

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        """Does nothing: an incident in PagerDuty stays open until it is resolved."""

    def _event(self, alert: Alert, now: datetime) -> dict[str, object]:
        about = alert.about
        key = {"routing_key": self._routing_key.get_secret_value(), "dedup_key": alert.alert_id}
        if about.ended_at is not None:
            return {**key, "event_action": "resolve"}
        links = [{"href": self._links.signal(about), "text": "look closer"}]
        if runbook := self._links.runbook(about):
            links.append({"href": runbook, "text": "runbook"})
        return {
            **key,
            "event_action": "trigger",
            "client": "Forewarn",
            "links": links,
            "payload": {
                "summary": describe(about, now)[:_MAX_SUMMARY],
                "source": about.service,
                "severity": _SEVERITY_NAMES[about.severity],
                "timestamp": about.started_at.isoformat(),
                "component": about.metric or about.service,
                "group": about.tenant,
                "class": str(about.kind),
                "custom_details": {"reasons": reasons(about), "signal_id": about.signal_id},
            },
        }
