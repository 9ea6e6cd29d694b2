"""Signals and alerts with little to say, for tests that care where they go."""

from datetime import UTC, datetime, timedelta
from typing import Any

from core.alerts import Alert
from core.domain import Severity, Signal, SignalKind

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
#: When an alert of `make_alert` expires.
EXPIRES = NOON + timedelta(hours=1)


def make_signal(signal_id: str = "s1", service: str = "checkout", minute: float = 0, **rest: Any) -> Signal:
    """An anomaly of `service` that began so many minutes after noon."""
    fields: dict[str, Any] = {
        "signal_id": signal_id,
        "tenant": "t",
        "kind": SignalKind.ANOMALY,
        "service": service,
        "metric": "latency",
        "started_at": NOON + timedelta(minutes=minute),
        "summary": f"{service} is slow",
        "severity": Severity.WARNING,
    }
    return Signal(**fields | rest)


def make_alert(signal_id: str = "s1", *, replaces: Severity | None = None, **rest: Any) -> Alert:
    """An alert about the signal that began it."""
    signal = make_signal(signal_id, **rest)
    return Alert(identity=signal, about=signal, replaces=replaces, expires_at=EXPIRES)
