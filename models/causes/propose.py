"""What could be behind an incident: hypotheses from its signals, the changes near it and the past. Pure.

Every hypothesis names one cause at one service and gathers what speaks for it and against it; how likely it is,
is for the scorer in `models/causes/score.py` to say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from core.diagnosis import CauseKind, Evidence, EvidenceKind, Hypothesis
from core.domain import Event, EventKind, Incident, Role, Series, Signal, SignalKind
from models.causes.incidents import DetectedIncident
from models.causes.localise import Deviation, Origin, rank_suspects
from models.causes.score import sigma_of_probability

#: Changes this long before the first symptom are suspects; what a deploy breaks slowly, such as a leak, shows
#: within hours. Whether a change was near enough to count as correlated is for the scorer.
SUSPECT_WINDOW = timedelta(hours=2)
#: Symptoms of one cause are seen up to one usual step apart, in either order.
_SAME_MOMENT = timedelta(minutes=5)
#: A symptom from here on is strong: by chance alone it happens once in twenty times.
_STRONG_SIGMA = 2.0

#: How a resource that runs out is told by the names of metrics and incidents, and how one says it.
_RESOURCES = {
    "disk": (("disk", "filesystem", "inode", "volume"), "disk of {} filling"),
    "memory": (("memory", "mem_", "leak", "oom", "heap"), "memory of {} growing"),
    "pool": (("pool", "conn"), "connections of {} running out"),
    "queue": (("queue", "backlog", "_lag"), "queue of {} growing"),
    "files": (("descriptor", "fds"), "file descriptors of {} running out"),
}
_INCIDENT_WORDS = {
    CauseKind.DEPLOY: ("deploy", "release", "rollout", "regression"),
    CauseKind.CONFIG_CHANGE: ("config",),
    CauseKind.DEPENDENCY: ("depend", "upstream"),
    CauseKind.TRAFFIC: ("traffic", "surge", "overload"),
    CauseKind.SILENCE: ("outage", "unavailable", "silent"),
}
_TRAFFIC_WORDS = ("request", "traffic", "rps", "qps", "throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known besides the signals.

    Attributes:
        events: changes of any service, in any order.
        incidents: of any service; only those that began before the incident are precedents.
        edges: the service graph: (caller, callee).
        roles: of series, by `series_id`.
        feedback: by cause, how many hypotheses people accepted and rejected.
    """

    events: Sequence[Event] = ()
    incidents: Sequence[Incident] = ()
    edges: Sequence[tuple[str, str]] = ()
    roles: Mapping[int, Role] = field(default_factory=dict)
    feedback: Mapping[CauseKind, tuple[int, int]] = field(default_factory=dict)


def propose_hypotheses(incident: DetectedIncident, context: Context) -> list[Hypothesis]:
    """Every cause that something speaks for; where no symptom points to one, a fault of the service itself."""
    return list(_Proposals(incident, context).all())


class _Proposals:
    def __init__(self, incident: DetectedIncident, context: Context) -> None:
        self._incident = incident
        self._context = context
        self._signals = incident.signals

    def all(self) -> Iterator[Hypothesis]:
        for event in self._suspects():
            yield from self._change(event)
        explained = [
            *self._dependency(),
            *(
                hypothesis
                for service in self._incident.services
                for find in (self._capacity, self._traffic, self._silence)
                for hypothesis in find(service)
            ),
        ]
        yield from explained or [self._fault()]

    def _suspects(self) -> list[Event]:
        first, last = self._signals[0].started_at, self._signals[-1].started_at
        near = [
            event
            for event in self._context.events
            if event.kind in (EventKind.DEPLOY, EventKind.CONFIG_CHANGE)
            and first - SUSPECT_WINDOW <= event.at <= last
        ]
        return sorted(near, key=lambda event: (event.at, event.event_id))

    def _change(self, event: Event) -> Iterator[Hypothesis]:
        """A deploy or config change that the service, or what calls it, felt afterwards."""
        everywhere = event.service == "*"
        felt = self._signals if everywhere else self._felt(event.service)
        if not any(signal.started_at >= event.at for signal in felt):
            return
        deploy = event.kind is EventKind.DEPLOY
        where = "all services" if everywhere else event.service
        what = event.version or event.title or f"{event.at:%Y-%m-%d %H:%M}"
        change = Evidence(
            kind=EvidenceKind.DEPLOY if deploy else EvidenceKind.CONFIG_CHANGE,
            source="changes",
            at=event.at,
            text=f"{event.kind.replace('_', ' ')} of {where} {what}",
            ref=event.event_id,
        )
        yield self._hypothesis(
            where,
            CauseKind.DEPLOY if deploy else CauseKind.CONFIG_CHANGE,
            f"bad deploy of {where} {what}" if deploy else f"config change of {where}: {what}",
            [change, *(_symptom(signal, supports=signal.started_at >= event.at) for signal in felt)],
        )

    def _capacity(self, service: str) -> Iterator[Hypothesis]:
        """A resource that runs out, and what followed from that."""
        for words, statement in _RESOURCES.values():
            growing = [
                signal for signal in self._signals if signal.service == service and _grows(signal, words)
            ]
            if growing:
                yield self._hypothesis(
                    service,
                    CauseKind.CAPACITY,
                    statement.format(service),
                    self._from_onset(service, growing),
                    precedent_words=words,
                )

    def _traffic(self, service: str) -> Iterator[Hypothesis]:
        surge = [signal for signal in self._signals if signal.service == service and self._is_surge(signal)]
        if surge:
            statement = f"traffic surge at {service}"
            yield self._hypothesis(service, CauseKind.TRAFFIC, statement, self._from_onset(service, surge))

    def _silence(self, service: str) -> Iterator[Hypothesis]:
        silent = [s for s in self._signals if s.service == service and s.kind is SignalKind.MISSING]
        if silent:
            statement = f"{service} down, or its metrics no longer collected"
            yield self._hypothesis(service, CauseKind.SILENCE, statement, map(_symptom, silent))

    def _dependency(self) -> Iterator[Hypothesis]:
        """That the service which calls none of the others concerned drags its callers down."""
        service = self._incident.service
        callers = self._callers(service) & set(self._incident.services)
        if not callers:
            return
        onset = min(signal.started_at for signal in self._signals if signal.service == service)
        evidence = [
            _symptom(signal, supports=signal.started_at >= onset - _SAME_MOMENT)
            for signal in self._signals
            if signal.service == service or signal.service in callers
        ]
        statement = f"{service} degraded, felt by {', '.join(sorted(callers))}"
        yield self._hypothesis(service, CauseKind.DEPENDENCY, statement, evidence)

    def _fault(self) -> Hypothesis:
        """What is left: the most suspect service itself; by the name that the failure model has for it, if any."""
        suspects = rank_suspects(self._deviations(), self._context.edges)
        service = suspects[0].service if suspects else self._incident.service
        felt = self._felt(service)
        types = [signal.risk.likely_type for signal in felt if signal.risk and signal.risk.likely_type]
        if types:
            statement = f"{types[0].replace('_', ' ')} at {service}"
        elif suspects and suspects[0].origin is not Origin.SERVICE:
            statement = f"{suspects[0].origin} of {service}: {suspects[0].reason}"
        else:
            statement = f"fault in {service} itself"
        words = (types[0].lower(),) if types else ()
        return self._hypothesis(
            service, CauseKind.FAULT, statement, map(_symptom, felt), precedent_words=words
        )

    def _deviations(self) -> list[Deviation]:
        """The anomalies among the signals, as the localisation looks at them."""
        return [
            Deviation(
                series=Series(
                    tenant=signal.tenant,
                    service=signal.service,
                    metric=signal.metric,
                    labels=signal.labels,
                    unit=signal.unit,
                    role=self._context.roles.get(signal.series_id or 0, Role.SATURATION),
                ),
                sigma=signal.deviation_sigma,
                change=signal.value - signal.band.expected,
            )
            for signal in self._signals
            if signal.metric
            and signal.band
            and signal.value is not None
            and signal.deviation_sigma is not None
        ]

    def _hypothesis(
        self,
        service: str,
        cause: CauseKind,
        statement: str,
        evidence: Iterable[Evidence],
        precedent_words: tuple[str, ...] = (),
    ) -> Hypothesis:
        accepted, rejected = self._context.feedback.get(cause, (0, 0))
        words = precedent_words or _INCIDENT_WORDS.get(cause, ())
        return Hypothesis(
            tenant=self._incident.first.tenant,
            service=service,
            cause=cause,
            statement=statement,
            evidence=tuple(evidence),
            precedents=sum(
                self._is_precedent(incident, service, words) for incident in self._context.incidents
            ),
            accepted=accepted,
            rejected=rejected,
        )

    def _is_precedent(self, incident: Incident, service: str, words: Sequence[str]) -> bool:
        """Like it: at the same service, of a type that says the same; the incident itself is no precedent."""
        if incident.service != service or incident.start >= self._signals[0].started_at:
            return False
        if words:
            return _has(incident.type, words)
        claimed = [*_INCIDENT_WORDS.values(), *(known for known, _ in _RESOURCES.values())]
        return not any(_has(incident.type, known) for known in claimed)

    def _from_onset(self, service: str, leading: Sequence[Signal]) -> list[Evidence]:
        """The leading signals, and all that was felt since; what was there before says nothing."""
        onset = min(signal.started_at for signal in leading)
        return [_symptom(signal) for signal in self._felt(service) if signal.started_at >= onset]

    def _felt(self, service: str) -> list[Signal]:
        """Signals of a service and of those that call it, directly or through others."""
        places = self._callers(service) | {service}
        return [signal for signal in self._signals if signal.service in places]

    def _callers(self, service: str) -> set[str]:
        found: set[str] = set()
        open_ends = [service]
        while open_ends:
            callee = open_ends.pop()
            new = {caller for caller, called in self._context.edges if called == callee} - found
            found |= new
            open_ends.extend(new)
        return found - {service}

    def _is_surge(self, signal: Signal) -> bool:
        role = self._context.roles.get(signal.series_id) if signal.series_id is not None else None
        named = role is None and _has(signal.metric or "", _TRAFFIC_WORDS)
        return signal.kind is SignalKind.ANOMALY and (role is Role.TRAFFIC or named) and _above(signal)


def strength_sigma(signal: Signal) -> float | None:
    """How far from normal a signal is, in sigma, whatever its kind; null where it does not say.

    An anomaly has its deviation, else its p-value; a prediction its probability; silence is certain.
    """
    if signal.kind is SignalKind.MISSING:
        return sigma_of_probability(1.0)
    if signal.deviation_sigma is not None:
        return signal.deviation_sigma
    if signal.breach is not None:
        return sigma_of_probability(signal.breach.probability)
    if signal.risk is not None:
        return sigma_of_probability(max(signal.risk.probability_by_horizon_s.values(), default=0.0))
    return None if signal.p_value is None else sigma_of_probability(1 - signal.p_value)


def _symptom(signal: Signal, supports: bool = True) -> Evidence:
    sigma = strength_sigma(signal)
    return Evidence(
        kind=EvidenceKind.SYMPTOM,
        source=f"{signal.service}/{signal.metric or signal.kind}",
        at=signal.started_at,
        text=signal.summary,
        supports=supports,
        strong=sigma is not None and abs(sigma) >= _STRONG_SIGMA,
        deviation_sigma=sigma,
        ref=signal.signal_id,
    )


def _grows(signal: Signal, words: Sequence[str]) -> bool:
    """Whether the signal tells that the resource with such words runs out."""
    match signal.kind:
        case SignalKind.BREACH:
            return _has(signal.metric or "", words)
        case SignalKind.FAILURE_RISK:
            return signal.risk is not None and _has(signal.risk.likely_type or "", words)
        case SignalKind.ANOMALY:
            return _has(signal.metric or "", words) and _above(signal)
        case SignalKind.MISSING:
            return False


def _above(signal: Signal) -> bool:
    return signal.band is not None and signal.value is not None and signal.value > signal.band.expected


def _has(text: str, words: Sequence[str]) -> bool:
    return any(word in text.lower() for word in words)
