"""Which alerts people have received, and how far cycles are apart."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from core.domain import Severity, Signal
from core.watch_cycles import WATCH_EVERY_S
from models.causes.incidents import DetectedIncident


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """Which alerts people have received.

    Attributes:
        alert_ids: signal id -> the alert that carried it.
        critical: ids of the signals that they received as critical.
        over: alerts of which they were told that they are over.
    """

    alert_ids: Mapping[str, str]
    critical: Collection[str]
    over: Collection[str]

    def alerts_of(self, incident: DetectedIncident) -> list[str]:
        """The alerts on an incident, those of its earliest signals first."""
        known = (self.alert_ids.get(signal.signal_id) for signal in incident.signals)
        return list(dict.fromkeys(alert_id for alert_id in known if alert_id is not None))

    def open_alerts_of(self, incident: DetectedIncident) -> list[str]:
        """Those of them that are not over for people."""
        return [alert_id for alert_id in self.alerts_of(incident) if alert_id not in self.over]

    def worst_severity(self, incident: DetectedIncident) -> Severity | None:
        """The severity under which people know an incident, by its signals that last; null when they do not know it.

        A signal may have become critical since its alert. That counts only if people received it as critical.
        """
        known = [signal for signal in incident.signals if signal.signal_id in self.alert_ids]
        known = [signal for signal in known if signal.ended_at is None] or known
        if not known:
            return None
        if any(signal.signal_id in self.critical for signal in known):
            return Severity.CRITICAL
        return min(worst_severity(known), Severity.WARNING, key=lambda one: one.rank)


def worst_severity(signals: Sequence[Signal]) -> Severity:
    return max((signal.severity for signal in signals), key=lambda one: one.rank)


def cycle_interval(before: Sequence[datetime], now: datetime) -> timedelta:
    """The time between cycles, at least five minutes: the shortest of late, as outages and late cycles lengthen it.

    Args:
        before: when earlier cycles began, ascending.
        now: when the cycle that runs began.
    """
    usual = timedelta(seconds=WATCH_EVERY_S)
    return max(usual, min((later - at for at, later in pairwise([*before, now])), default=usual))
