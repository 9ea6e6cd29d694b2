"""What the sinks for people have in common: one alert for a trouble, and links that lead on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from core.domain import Signal
from core.ports import SignalSink


@runtime_checkable
class AlertSink(SignalSink, Protocol):
    """A sink that people are alerted by: it gets one signal for a trouble, and not one for each finding."""

    def keep_alive(self, signals: Sequence[Signal]) -> None:
        """Say that these alerts still hold, to a receiver that forgets what it is not told again.

        Raises:
            UnavailableError: the receiver is down or said no.
        """
        ...


@dataclass(frozen=True, slots=True)
class Links:
    """Where an alert leads to.

    Attributes:
        service_url: the base address of Forewarn's own service.
        runbook_url: the base address of runbooks; "" where there are none.
    """

    service_url: str
    runbook_url: str = ""

    def signal(self, signal: Signal) -> str:
        return signal.links.get("signal") or f"{self.service_url}/#signal={signal.signal_id}"

    def runbook(self, signal: Signal) -> str:
        own = signal.links.get("runbook", "")
        if own or not self.runbook_url:
            return own
        return f"{self.runbook_url.rstrip('/')}/{signal.kind}?service={quote(signal.service, safe='')}"
