"""Signals about the same incident, found across series and along the service graph. Pure.

Two signals speak of the same incident when they began within `window_s` of each other and
- belong to the same service, or
- belong to services of which one calls the other, directly or through others; or when they
- belong to the same series and overlap in time, or follow each other within `window_s`.

Onsets count and not overlaps, but for the same series: a disk that has been filling for two days
must not swallow the outage of this minute.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from core.domain import Event, Factor, ServiceEdges, Severity, Signal, SignalKind

#: Onsets of one incident spread over about as long as the slowest chain of timeouts, retries and pools;
#: six samples at the usual step of 5 min.
WINDOW_S = 1_800

#: Name of the factor in which `fold` tells of the other signals.
RELATED = "related"

_SEVERITIES = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class DetectedIncident:
    """One or more signals that belong together.

    Attributes:
        signals: in the order of their onset.
        service: where it most likely comes from: of the services concerned one that calls none of the
            others, else the one that began.
    """

    signals: tuple[Signal, ...]
    service: str

    @property
    def first(self) -> Signal:
        return self.signals[0]

    @property
    def severity(self) -> Severity:
        return max((signal.severity for signal in self.signals), key=_SEVERITIES.index)

    @property
    def services(self) -> tuple[str, ...]:
        """Those concerned, in the order of onset."""
        return tuple(dict.fromkeys(signal.service for signal in self.signals))


def correlate(
    signals: Iterable[Signal], edges: ServiceEdges = (), *, window_s: float = WINDOW_S
) -> list[DetectedIncident]:
    """Put signals that speak of the same incident together; each signal is in exactly one incident.

    Args:
        edges: the service graph: (caller, callee).

    Returns:
        incidents in the order of their first onset; the order of the input does not matter.
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


def fold(incident: DetectedIncident, anchor: Signal | None = None) -> Signal:
    """The incident as one signal, which people are alerted with.

    It has the identity of `anchor` (default: the signal that began), so that an incident that grows stays
    one alert; the severity of the worst; the onset of the first; the others named in a last factor; and it
    has ended when all have.
    """
    lead = anchor or incident.first
    others = [signal for signal in incident.signals if signal.signal_id != lead.signal_id]
    if not others:
        return lead
    ends = [signal.ended_at for signal in incident.signals]
    events: dict[str, Event] = {
        event.event_id: event for signal in (lead, *others) for event in signal.nearby_events
    }
    return replace(
        lead,
        severity=incident.severity,
        started_at=incident.first.started_at,
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        factors=(*lead.factors, Factor(name=RELATED, value=None, contribution=0.0, text=_named(others))),
        nearby_events=tuple(events.values()),
    )


def _named(others: Sequence[Signal]) -> str:
    """`together with payments p99_latency, orders-db cpu_usage and 3 more`."""
    names = list(dict.fromkeys(f"{signal.service} {_subject(signal)}" for signal in others))
    more = len(names) - _NAMED_AT_MOST
    return "together with " + ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _subject(signal: Signal) -> str:
    return "failure risk" if signal.kind is SignalKind.FAILURE_RISK else signal.metric or signal.kind


def _related(called: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
    """For each service of the graph itself, all that it calls and all that call it, directly or not."""
    related: dict[str, set[str]] = {}
    for caller, callees in called.items():
        related.setdefault(caller, {caller}).update(callees)
        for callee in callees:
            related.setdefault(callee, {callee}).add(caller)
    return related


def _reachable(edges: ServiceEdges) -> dict[str, frozenset[str]]:
    """For each service all that it calls, directly or through others; circles are allowed."""
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
    """DetectedIncident travels from what is called to its callers, so it comes from what calls none of the others."""
    services = list(dict.fromkeys(signal.service for signal in group))
    return next(
        (service for service in services if called.get(service, frozenset()).isdisjoint(services)),
        services[0],
    )
