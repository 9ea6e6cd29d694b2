"""Groups signals into incidents, across series and along the service graph.

Two signals belong to the same incident in two cases:
- They began within `window_s` of each other, and their services are the same, or one calls the other, directly or
  through others.
- They belong to the same series, and they overlap or follow each other within `window_s`.

For different series the start counts, not the overlap: an outage of this minute is not part of the incident of a disk
that has been filling for two days.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from core.domain import Event, Factor, ServiceEdges, Severity, Signal
from models.words.incident import RELATED, together_with

#: The signals of one incident start within about the time that timeouts, retries and pools need to pass it on. These
#: are six samples at the usual step of 5 min.
WINDOW_S = 1_800


@dataclass(frozen=True, slots=True)
class DetectedIncident:
    """One or more signals that belong together.

    Attributes:
        signals: in the order of their start.
        service: where the incident most likely comes from: a service that calls none of the other services of the
            incident, else the service of the first signal.
    """

    signals: tuple[Signal, ...]
    service: str

    @property
    def first(self) -> Signal:
        return self.signals[0]

    @property
    def severity(self) -> Severity:
        return max((signal.severity for signal in self.signals), key=lambda one: one.rank)

    @property
    def services(self) -> tuple[str, ...]:
        """All services with signals, in the order of their first signal."""
        return tuple(dict.fromkeys(signal.service for signal in self.signals))


def correlate(
    signals: Iterable[Signal], edges: ServiceEdges = (), *, window_s: float = WINDOW_S
) -> list[DetectedIncident]:
    """Group signals into incidents; each signal is in exactly one incident.

    Args:
        edges: the service graph: (caller, callee).

    Returns:
        Incidents in the order of their first start; the order of the input does not matter.
    """
    ordered = sorted(
        {signal.signal_id: signal for signal in signals}.values(), key=lambda s: (s.started_at, s.signal_id)
    )
    called = _reachable(edges)
    related = _related(called)
    window = timedelta(seconds=window_s)
    parent = list(range(len(ordered)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(one: int, other: int) -> None:
        low, high = sorted((root(one), root(other)))
        parent[high] = low

    # The newest signal of each related service is enough: the older ones in the window are joined to it.
    newest: dict[str, int] = {}
    for index, signal in enumerate(ordered):
        for service in related.get(signal.service, (signal.service,)):
            before = newest.get(service)
            if before is not None and signal.started_at - ordered[before].started_at <= window:
                join(before, index)
        newest[signal.service] = index

    by_series: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, signal in enumerate(ordered):
        if signal.series_id is not None:
            by_series[signal.tenant, signal.series_id].append(index)
    for indices in by_series.values():
        last: datetime | None = ordered[indices[0]].ended_at
        for before, after in pairwise(indices):
            if last is None or ordered[after].started_at - last <= window:
                join(before, after)
            end = ordered[after].ended_at
            last = None if last is None or end is None else max(last, end)

    groups: dict[int, list[Signal]] = defaultdict(list)
    for index, signal in enumerate(ordered):
        groups[root(index)].append(signal)
    return [DetectedIncident(tuple(group), _origin(group, called)) for _, group in sorted(groups.items())]


def most_urgent(signals: Sequence[Signal]) -> Signal:
    """The signal that matters most now.

    One that lasts comes before one that has ended, then the more severe one, then the one whose breach or failure is
    expected earliest, or came earliest; those without such a time come after them, the earliest first.
    """
    return min(signals, key=_urgency)


def _urgency(signal: Signal) -> tuple[bool, int, bool, datetime, str]:
    prediction = signal.breach or signal.risk
    when = None if prediction is None else prediction.when
    time = signal.started_at if when is None else when.p50
    return (signal.ended_at is not None, -signal.severity.rank, when is None, time, signal.signal_id)


def fold(incident: DetectedIncident, began: Signal | None = None) -> Signal:
    """The incident as one signal, which an alert is about: its most urgent signal.

    It ends when all signals have ended. Its last factor lists the other signals.

    Args:
        began: the signal that began the alert. The end of the alert is about it, so that people know what is over.
    """
    lead = most_urgent(incident.signals)
    if began is not None and lead.ended_at is not None:
        lead = began
    others = [signal for signal in incident.signals if signal.signal_id != lead.signal_id]
    if not others:
        return lead
    together = together_with(lead, others)
    ends = [signal.ended_at for signal in incident.signals]
    events: dict[str, Event] = {
        event.event_id: event for signal in (lead, *others) for event in signal.nearby_events
    }
    return replace(
        lead,
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        factors=(
            *lead.factors,
            *([Factor(name=RELATED, value=None, contribution=0.0, text=together)] if together else []),
        ),
        nearby_events=tuple(events.values()),
    )


def _related(called: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
    """Service -> itself, all that it calls, and all that call it, directly or through others."""
    related: dict[str, set[str]] = {}
    for caller, callees in called.items():
        related.setdefault(caller, {caller}).update(callees)
        for callee in callees:
            related.setdefault(callee, {callee}).add(caller)
    return related


def _reachable(edges: ServiceEdges) -> dict[str, frozenset[str]]:
    """Service -> all that it calls, directly or through others. Circles are allowed."""
    direct: dict[str, set[str]] = defaultdict(set)
    for caller, callee in edges:
        direct[caller].add(callee)
    reachable = {}
    for service in list(direct):
        seen: set[str] = set()
        open_ends = [service]
        while open_ends:
            new = direct.get(open_ends.pop(), set()) - seen
            seen |= new
            open_ends.extend(new)
        reachable[service] = frozenset(seen - {service})
    return reachable


def _origin(group: Sequence[Signal], called: Mapping[str, frozenset[str]]) -> str:
    """A failure spreads from a service to its callers, so it comes from a service that calls none of the others."""
    services = list(dict.fromkeys(signal.service for signal in group))
    return next(
        (service for service in services if called.get(service, frozenset()).isdisjoint(services)),
        services[0],
    )
