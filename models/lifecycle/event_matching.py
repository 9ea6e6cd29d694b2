"""Compares past signals with recorded incidents, event by event.

A signal is correct if it started at most `LONGEST_WARNING` before an incident of its service, or during it. An incident
is found if at least one signal is correct about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from core.domain import Incident, Signal

#: A signal counts as a warning of an incident at most so long before it. Warnings come 3 to 12 h before an incident.
LONGEST_WARNING = timedelta(hours=12)
#: A signal may start this long after the end of an incident, because series need time to become normal again.
RECOVERY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScore:
    """Precision, recall and lead time of signals.

    Attributes:
        precision: share of signals that are correct, in [0, 1]; null without signals.
        recall: share of incidents that were found, in [0, 1]; null without incidents.
        f1: harmonic mean of precision and recall; null if one of them is null.
        median_lead_s: seconds from the first correct signal to the start of the incident, median over the incidents
            that were found; negative = the signal came after the start.
    """

    signals: int
    incidents: int
    precision: float | None
    recall: float | None
    f1: float | None
    median_lead_s: float | None


def match_events(signals: Sequence[Signal], incidents: Sequence[Incident]) -> EventScore:
    """Score signals against the incidents of their services."""
    correct: set[str] = set()
    leads: list[float] = []
    for incident in incidents:
        about = [signal for signal in signals if _is_about(signal, incident)]
        if about:
            correct.update(signal.signal_id for signal in about)
            first = min(signal.started_at for signal in about)
            leads.append((incident.start - first).total_seconds())
    precision = len(correct) / len(signals) if signals else None
    recall = len(leads) / len(incidents) if incidents else None
    return EventScore(
        signals=len(signals),
        incidents=len(incidents),
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        median_lead_s=median(leads) if leads else None,
    )


def is_in_time(at: datetime, incident: Incident) -> bool:
    """Whether a signal or an alert of that time may be about the incident: as a warning of it, or during it."""
    latest = (incident.end or datetime.max.replace(tzinfo=UTC) - RECOVERY) + RECOVERY
    return incident.start - LONGEST_WARNING <= at <= latest


def _is_about(signal: Signal, incident: Incident) -> bool:
    return signal.service == incident.service and is_in_time(signal.started_at, incident)


def _harmonic(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
