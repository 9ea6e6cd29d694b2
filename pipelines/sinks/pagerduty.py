"""Alerts into PagerDuty, by its Events API v2; the signal's id is the key by which it drops repeats.

References:
    https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr

from core.clock import Clock
from core.domain import Severity, Signal
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links
from pipelines.sinks.posting import Receiver

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
_SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
#: PagerDuty cuts a summary here.
_SUMMARY_AT_MOST = 1_024


class PagerDutySink:
    """Implements `AlertSink`. One request an event, as the API wants it."""

    name = "pagerduty"

    def __init__(self, routing_key: SecretStr, links: Links, clock: Clock, url: str = EVENTS_URL) -> None:
        self._receiver = Receiver(self.name, url)
        self._routing_key = routing_key
        self._links = links
        self._clock = clock

    def send(self, signals: Sequence[Signal]) -> None:
        now = self._clock.now()
        for signal in signals:
            body = json.dumps(self._event(signal, now)).encode()
            self._receiver.post(body, {"Content-Type": "application/json"})

    def keep_alive(self, signals: Sequence[Signal]) -> None:
        """Nothing to do: an incident stays open until it is resolved."""

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
                "summary": describe(signal, now)[:_SUMMARY_AT_MOST],
                "source": signal.service,
                "severity": _SEVERITIES[signal.severity],
                "timestamp": signal.started_at.isoformat(),
                "component": signal.metric or signal.service,
                "group": signal.tenant,
                "class": str(signal.kind),
                "custom_details": {"reasons": reasons(signal), "signal_id": signal.signal_id},
            },
        }
