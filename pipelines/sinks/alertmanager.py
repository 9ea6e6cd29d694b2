"""Sends alerts to Alertmanager, with its v2 API.

Alertmanager identifies an alert by its labels, so the labels must not change while an incident lasts. The exception is
`severity`, because people route alerts by it: when a signal gets more severe, the same post ends the alerts with the
lower severities.

References:
    https://prometheus.io/docs/alerting/latest/alerts_api/
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from core.clock import Clock
from core.domain import Severity, Signal, SignalKind
from core.json_text import json_text
from models.words.one_line import describe
from models.words.page import reasons
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.posting import Receiver

#: Alertmanager ends an alert that is not sent again. Delivery runs at least daily; two hours are a margin.
HOLD = timedelta(hours=26)

#: Names of labels that Alertmanager accepts.
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_ALERT_NAMES = {
    SignalKind.ANOMALY: "ForewarnAnomaly",
    SignalKind.MISSING: "ForewarnMissing",
    SignalKind.BREACH: "ForewarnBreach",
    SignalKind.FAILURE_RISK: "ForewarnFailureRisk",
}


class AlertmanagerSink:
    """Implements `AlertSink`. Posting the same alert twice updates it."""

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

    def send(self, signals: Sequence[Signal]) -> None:
        if not signals:
            return
        now = self._clock.now()
        alerts = [alert for signal in signals for alert in self._alerts(signal, now)]
        self._receiver.post(json_text(alerts, indent=None).encode(), {"Content-Type": "application/json"})

    def keep_alive(self, signals: Sequence[Signal]) -> None:
        """Post the alerts again; Alertmanager ends them `HOLD` after the last post."""
        self.send(signals)

    def _alerts(self, signal: Signal, now: datetime) -> list[dict[str, object]]:
        lower = [severity for severity in Severity if severity.rank < signal.severity.rank]
        # the end is the start, which is in the past even if Alertmanager's clock differs
        ended = [self._alert(signal, severity, signal.started_at, now) for severity in lower]
        return [self._alert(signal, signal.severity, signal.ended_at or now + HOLD, now), *ended]

    def _alert(
        self, signal: Signal, severity: Severity, ends_at: datetime, now: datetime
    ) -> dict[str, object]:
        return {
            "labels": labels(signal, severity),
            "annotations": {
                name: text
                for name, text in (
                    ("summary", describe(signal, now)),
                    ("description", "\n".join(reasons(signal))),
                    ("runbook_url", self._links.runbook(signal)),
                )
                if text
            },
            "startsAt": min(signal.started_at, ends_at).isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": self._links.signal(signal),
        }


def labels(signal: Signal, severity: Severity | None = None) -> dict[str, str]:
    """The labels that identify the alert. Those of the series let people route and silence one host or mount point."""
    of_series = {name: value for name, value in signal.labels.items() if _LABEL.fullmatch(name) and value}
    named = {
        "alertname": _ALERT_NAMES[signal.kind],
        "tenant": signal.tenant,
        "service": signal.service,
        "severity": str(severity or signal.severity),
        "signal_id": signal.signal_id,
    }
    return of_series | named | ({"metric": signal.metric} if signal.metric else {})
