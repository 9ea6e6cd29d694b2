"""Sends alerts to PagerDuty, with its Events API v2. PagerDuty drops repeats by the id of the signal.

References:
    https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from core.clock import Clock
from core.domain import Severity, Signal
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
    """Implements `AlertSink`. It posts one event in each request, as the API requires."""

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

    def send(self, signals: Sequence[Signal]) -> None:
        now = self._clock.now()
        for signal in signals:
            body = json_text(self._event(signal, now), indent=None).encode()
            self._receiver.post(body, {"Content-Type": "application/json"})

    def keep_alive(self, signals: Sequence[Signal]) -> None:
        """Does nothing: an incident in PagerDuty stays open until it is resolved."""

    def _event(self, signal: Signal, now: datetime) -> dict[str, object]:
        key = {"routing_key": self._routing_key.get_secret_value(), "dedup_key": signal.signal_id}
        if signal.ended_at is not None:
            return {**key, "event_action": "resolve"}
        links = [{"href": self._links.signal(signal), "text": "look closer"}]
        if runbook := self._links.runbook(signal):
            links.append({"href": runbook, "text": "runbook"})
        return {
            **key,
            "event_action": "trigger",
            "client": "Forewarn",
            "links": links,
            "payload": {
                "summary": describe(signal, now)[:_MAX_SUMMARY],
                "source": signal.service,
                "severity": _SEVERITY_NAMES[signal.severity],
                "timestamp": signal.started_at.isoformat(),
                "component": signal.metric or signal.service,
                "group": signal.tenant,
                "class": str(signal.kind),
                "custom_details": {"reasons": reasons(signal), "signal_id": signal.signal_id},
            },
        }
