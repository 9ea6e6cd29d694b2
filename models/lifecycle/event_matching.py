"""Hold what was said against what came: which signals spoke of an incident, which incidents were spoken of.

By event, never by point: a signal is right if it started within reach of an incident of its service, and an
incident is found if one signal is right about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from core.domain import Incident, Signal

#: How long before an incident a signal still counts as its warning: the product promises 3 to 12 h.
REACH = timedelta(hours=12)
#: An incident of one service is often seen first at its neighbours; without a graph, only its own counts.
AFTERMATH = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScore:
    """By event.

    Attributes:
        precision: share of signals that spoke of an incident, [0, 1]; null without signals.
        recall: share of incidents that a signal spoke of, [0, 1]; null without incidents.
        f1: their harmonic mean; null if either is.
        median_lead_s: seconds from the first right signal to the incident, over found incidents; negative = late.
    """

    signals: int
    incidents: int
    precision: float | None
    recall: float | None
    f1: float | None
    median_lead_s: float | None


def match_events(signals: Sequence[Signal], incidents: Sequence[Incident]) -> EventScore:
    """Score signals against incidents, service by service."""
    right: set[str] = set()
    leads: list[float] = []
    for incident in incidents:
        about = [signal for signal in signals if _speaks_of(signal, incident)]
        if about:
            right.update(signal.signal_id for signal in about)
            first = min(signal.started_at for signal in about)
            leads.append((incident.start - first).total_seconds())
    precision = len(right) / len(signals) if signals else None
    recall = len(leads) / len(incidents) if incidents else None
    return EventScore(
        signals=len(signals),
        incidents=len(incidents),
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        median_lead_s=median(leads) if leads else None,
    )


def _speaks_of(signal: Signal, incident: Incident) -> bool:
    over = (incident.end or datetime.max.replace(tzinfo=UTC) - AFTERMATH) + AFTERMATH
    return signal.service == incident.service and incident.start - REACH <= signal.started_at <= over


def _harmonic(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
