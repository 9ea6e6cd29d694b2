"""What people receive about an incident, and the port of the sinks that send it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from core.domain import Severity, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An incident as one message to people.

    Attributes:
        identity: the signal that began the alert. Its id, kind, service, metric and labels identify the alert at a
            receiver as long as it lasts.
        about: the signal of the incident that matters most now, or that began an alert which ends, see
            `models.causes.incidents.fold`.
        replaces: the lower severity under which the receiver has the alert; null: it has none, or has the same.
        expires_at: when a receiver that ends alerts by itself should end this one, unless it is sent again.
    """

    identity: Signal
    about: Signal
    replaces: Severity | None = None
    expires_at: datetime

    @property
    def alert_id(self) -> str:
        return self.identity.signal_id


@runtime_checkable
class AlertSink(Protocol):
    """A sink that alerts people: it gets one alert for each incident, not one signal for each finding.

    Delivery is at least once, and `alert_id` lets a receiver drop repeats.
    """

    @property
    def name(self) -> str: ...

    def send(self, alerts: Sequence[Alert]) -> None:
        """Deliver, or raise so that the delivery is tried again.

        Raises:
            UnavailableError: the receiver is down or said no; nothing is lost.
        """
        ...

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        """Repeat these alerts to a receiver that ends an alert when it is not sent again.

        Raises:
            UnavailableError: the receiver is down or refuses the alerts.
        """
        ...
