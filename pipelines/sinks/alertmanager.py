"""Sends alerts to Alertmanager, with its v2 API.

Alertmanager identifies an alert by its labels, so the labels must not change while an incident lasts. The exception is
`severity`, because people route alerts by it: when an incident gets more severe, the same post ends the alert with the
lower severity.

References:
    https://prometheus.io/docs/alerting/latest/alerts_api/
"""

import re
from collections.abc import Sequence
from datetime import datetime

from core.alerts import Alert
from core.clock import Clock
from core.domain import Severity, Signal, SignalKind
from core.json_text import json_text
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.posting import Receiver

#: Names of labels that Alertmanager accepts.
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_ALERT_NAMES = {
    SignalKind.ANOMALY: "ForewarnAnomaly",
    SignalKind.MISSING: "ForewarnMissing",
    SignalKind.BREACH: "ForewarnBreach",
    SignalKind.FAILURE_RISK: "ForewarnFailureRisk",
}


class AlertmanagerSink:
    """Implements `core.alerts.AlertSink`. Posting the same alert twice updates it."""

    name = "alertmanager"

    def __init__(self, url: str, links: Links, clock: Clock) -> None:
        self._receiver = Receiver(self.name, url.rstrip("/") + "/api/v2/alerts", clock)
        self._links = links
        self._clock = clock

    @classmethod
    def configured(cls, setup: SinkSetup) -> "AlertmanagerSink | None":
        """The sink of `FOREWARN_ALERTMANAGER_URL`; null where it is not set."""
        url = setup.settings.alertmanager_url
        return cls(url, setup.links, setup.clock) if url else None

    def send(self, alerts: Sequence[Alert]) -> None:
        if not alerts:
            return
        now = self._clock.now()
        posted = [one for alert in alerts for one in self._posted(alert, now)]
        self._receiver.post(json_text(posted, indent=None).encode(), {"Content-Type": "application/json"})

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        """Post the alerts again, because Alertmanager ends each when it expires."""
        self.send(alerts)

    def _posted(self, alert: Alert, now: datetime) -> list[dict[str, object]]:
        about = alert.about
        posted = [self._alert(alert, about.severity, about.ended_at or alert.expires_at, now)]
        if alert.replaces is not None:
            # the end is the start, which is in the past even if Alertmanager's clock differs
            posted.append(self._alert(alert, alert.replaces, about.started_at, now))
        return posted

    def _alert(self, alert: Alert, severity: Severity, ends_at: datetime, now: datetime) -> dict[str, object]:
        about = alert.about
        return {
            "labels": labels(alert.identity, severity),
            "annotations": {
                name: text
                for name, text in (
                    ("summary", describe(about, now)),
                    ("description", "\n".join(reasons(about))),
                    ("runbook_url", self._links.runbook(about)),
                )
                if text
            },
            "startsAt": min(about.started_at, ends_at).isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": self._links.signal(about),
        }


def labels(identity: Signal, severity: Severity) -> dict[str, str]:
    """The labels that identify the alert. Those of the series let people route and silence one host or mount point."""
    of_series = {name: value for name, value in identity.labels.items() if _LABEL.fullmatch(name) and value}
    named = {
        "alertname": _ALERT_NAMES[identity.kind],
        "tenant": identity.tenant,
        "service": identity.service,
        "severity": str(severity),
        "signal_id": identity.signal_id,
    }
    return of_series | named | ({"metric": identity.metric} if identity.metric else {})
