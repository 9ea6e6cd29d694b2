"""Propose the possible causes of an incident: from its signals, from recent changes and from past incidents. Pure.

Each hypothesis names one cause at one service, with the evidence that supports or contradicts it. The scorer in
`models/causes/score.py` computes how likely each hypothesis is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from core.diagnosis import CauseKind, Evidence, EvidenceKind, Hypothesis
from core.domain import Event, EventKind, Incident, Role, Series, ServiceEdges, Signal, SignalKind
from core.metric_names import TABLE, exhaustion_of, guess_metric, is_about, is_named, lower_is_worse
from models.causes.incidents import DetectedIncident
from models.causes.localise import Deviation, Origin, rank_suspects
from models.causes.score import sigma_of_probability

#: A change is a suspect if it was made at most so long before the first symptom. What a deploy breaks slowly, such as a
#: memory leak, shows within hours. The scorer decides whether the change was near enough to count as correlated.
SUSPECT_WINDOW = timedelta(hours=2)
#: Symptoms of one cause are seen up to one usual step apart, in either order.
_SAME_MOMENT = timedelta(minutes=5)
#: A symptom of at least so many sigma is strong: by chance alone it happens once in twenty times.
_STRONG_SIGMA = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentContext:
    """What is known about the fleet besides the signals of the incident.

    Attributes:
        events: changes of any service, in any order.
        incidents: of any service; only those that began before this incident are precedents.
        edges: the service graph.
        roles: of series, by `series_id`.
        feedback: cause -> how many hypotheses people accepted, and how many they rejected.
    """

    events: Sequence[Event] = ()
    incidents: Sequence[Incident] = ()
    edges: ServiceEdges = ()
    roles: Mapping[int, Role] = field(default_factory=dict)
    feedback: Mapping[CauseKind, tuple[int, int]] = field(default_factory=dict)


def propose_hypotheses(incident: DetectedIncident, context: IncidentContext) -> list[Hypothesis]:
    """All causes with evidence. If no symptom points to one, the cause is a fault of the service itself."""
    return list(_Proposals(incident, context).all())


class _Proposals:
    def __init__(self, incident: DetectedIncident, context: IncidentContext) -> None:
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
        """A deploy or config change, if the service or one of its callers has a symptom since then."""
        everywhere = event.service == "*"
        symptoms = self._signals if everywhere else self._symptoms(event.service)
        if not any(signal.started_at >= event.at for signal in symptoms):
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
            [change, *(_symptom(signal, supports=signal.started_at >= event.at) for signal in symptoms)],
        )

    def _capacity(self, service: str) -> Iterator[Hypothesis]:
        """Each resource that runs out, and the symptoms that followed."""
        growing: dict[str, list[Signal]] = {}
        for signal in self._signals:
            if signal.service == service and (statement := _running_out(signal)):
                growing.setdefault(statement, []).append(signal)
        # In the order of the table of names, so that the order of the signals does not matter.
        for statement in sorted(growing, key=_STATEMENTS.index):
            yield self._hypothesis(
                service,
                CauseKind.CAPACITY,
                statement.format(service),
                self._from_onset(service, growing[statement]),
                is_alike=partial(_is_of_resource, statement=statement),
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
        """The service that calls no other service of the incident degrades its callers."""
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
        statement = f"{service} degraded, which affects {', '.join(sorted(callers))}"
        yield self._hypothesis(service, CauseKind.DEPENDENCY, statement, evidence)

    def _fault(self) -> Hypothesis:
        """A fault of the most suspect service itself, named by the failure model where it predicts a type."""
        suspects = rank_suspects(self._deviations(), self._context.edges)
        service = suspects[0].service if suspects else self._incident.service
        symptoms = self._symptoms(service)
        types = [signal.risk.likely_type for signal in symptoms if signal.risk and signal.risk.likely_type]
        if types:
            statement = f"{types[0].replace('_', ' ')} at {service}"
        elif suspects and suspects[0].origin is not Origin.SERVICE:
            statement = f"{suspects[0].origin} of {service}: {suspects[0].reason}"
        else:
            statement = f"fault in {service} itself"
        return self._hypothesis(
            service,
            CauseKind.FAULT,
            statement,
            map(_symptom, symptoms),
            is_alike=partial(_is_of_type, likely_type=types[0]) if types else None,
        )

    def _deviations(self) -> list[Deviation]:
        """The anomalies among the signals, in the form that `rank_suspects` takes."""
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
        is_alike: Callable[[str], bool] | None = None,
    ) -> Hypothesis:
        """`is_alike` tells whether a type of incident means the same cause; null: by the kind of cause."""
        accepted, rejected = self._context.feedback.get(cause, (0, 0))
        if is_alike is None and cause is CauseKind.FAULT:
            is_alike = _is_unnamed
        elif is_alike is None:
            is_alike = partial(is_about, cause=cause)
        return Hypothesis(
            tenant=self._incident.first.tenant,
            service=service,
            cause=cause,
            statement=statement,
            evidence=tuple(evidence),
            precedents=sum(
                self._is_precedent(incident, service, is_alike) for incident in self._context.incidents
            ),
            accepted=accepted,
            rejected=rejected,
        )

    def _is_precedent(self, incident: Incident, service: str, is_alike: Callable[[str], bool]) -> bool:
        """An earlier incident of the same service and the same type. The incident itself is no precedent."""
        if incident.service != service or incident.start >= self._signals[0].started_at:
            return False
        return is_alike(incident.type)

    def _from_onset(self, service: str, leading: Sequence[Signal]) -> list[Evidence]:
        """The leading signals and all symptoms since the first of them. Earlier symptoms are no evidence."""
        onset = min(signal.started_at for signal in leading)
        return [_symptom(signal) for signal in self._symptoms(service) if signal.started_at >= onset]

    def _symptoms(self, service: str) -> list[Signal]:
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
        role = role or guess_metric(signal.metric or "").role
        return signal.kind is SignalKind.ANOMALY and role is Role.TRAFFIC and _is_above(signal)


def strength_sigma(signal: Signal) -> float | None:
    """How far from normal a signal is, in sigma, signed; null where the signal has no number for it.

    An anomaly has its deviation, else its p-value. A prediction has its probability. Silence is certain.
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


def _running_out(signal: Signal) -> str:
    """The statement about the resource that runs out, by the signal; "" where none does."""
    match signal.kind:
        case SignalKind.BREACH:
            return _resource_statement(signal.metric or "")
        case SignalKind.FAILURE_RISK:
            return _resource_statement((signal.risk and signal.risk.likely_type) or "")
        case SignalKind.ANOMALY:
            metric = signal.metric or ""
            worse = _is_below(signal) if lower_is_worse(metric) else _is_above(signal)
            return _resource_statement(metric) if worse else ""
        case SignalKind.MISSING:
            return ""


def _resource_statement(name: str) -> str:
    """How a hypothesis names the resource of a metric or of a type of incident, "" where there is none."""
    resource = exhaustion_of(name)
    return resource.growing if resource is not None else ""


#: In the order of the table of names, each once.
_STATEMENTS = tuple(dict.fromkeys(row.growing for row in TABLE if row.growing))


def _is_of_resource(kind: str, statement: str) -> bool:
    return _resource_statement(kind) == statement


def _is_of_type(kind: str, likely_type: str) -> bool:
    return likely_type.lower() in kind.lower()


def _is_unnamed(kind: str) -> bool:
    """Whether a type of incident names neither a resource nor a kind of cause."""
    return not is_named(kind)


def _is_above(signal: Signal) -> bool:
    return signal.band is not None and signal.value is not None and signal.value > signal.band.expected


def _is_below(signal: Signal) -> bool:
    return signal.band is not None and signal.value is not None and signal.value < signal.band.expected
