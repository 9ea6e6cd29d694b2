"""What the sinks have in common: links, and what a sink is built from."""

from dataclasses import dataclass
from urllib.parse import quote

from core.clock import Clock
from core.domain import Signal
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Links:
    """The links in an alert.

    Attributes:
        service_url: base address of Forewarn's own service.
        runbook_url: base address of runbooks; "" where there are none.
    """

    service_url: str
    runbook_url: str = ""

    def signal(self, signal: Signal) -> str:
        """The address of the signal in the console."""
        return signal.links.get("signal") or f"{self.service_url}/#signal={signal.signal_id}"

    def runbook(self, signal: Signal) -> str:
        """The address of the runbook; "" where there is none."""
        own = signal.links.get("runbook", "")
        if own or not self.runbook_url:
            return own
        return f"{self.runbook_url.rstrip('/')}/{signal.kind}?service={quote(signal.service, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSetup:
    """What a sink is built from.

    Attributes:
        clock: the present, from which the alert texts count times.
    """

    settings: Settings
    links: Links
    clock: Clock
