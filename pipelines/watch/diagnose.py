"""Diagnose the open incidents: collect evidence, score hypotheses, store new diagnoses and log state transitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.diagnosis import (
    CauseKind,
    Diagnosis,
    DiagnosisRecord,
    Feedback,
    IncidentState,
    PolicyDecision,
    Transition,
)
from core.domain import ServiceEdges, Signal, stable_id
from core.errors import NotFoundError
from models.causes.incidents import DetectedIncident, correlate
from models.causes.propose import SUSPECT_WINDOW, IncidentContext, propose_hypotheses
from models.causes.score import require_transition, score_hypotheses
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform

#: Open signals are read from so long before now.
LOOKBACK = timedelta(days=30)
#: Earlier incidents count as precedents for as long as Forewarn keeps anything.
PRECEDENT_LOOKBACK = timedelta(days=3 * 365)
#: The actor of the transitions that no person makes.
SCORER = "scorer"
_PROGRESS_STEP = "diagnose incidents"
#: An incident in one of these states is closed. A later signal opens a new incident.
_CLOSED = {IncidentState.RESOLVED, IncidentState.INCONCLUSIVE, IncidentState.LEARNED}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisReport:
    """The diagnoses of one run.

    Attributes:
        records: one for each open incident, the highest confidence first.
        new: how many differ from the last diagnosis of their incident, and so were stored.
    """

    records: tuple[DiagnosisRecord, ...]
    new: int

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        return tuple(record.diagnosis for record in self.records)


@one_at_a_time("diagnose")
def diagnose(
    platform: Platform,
    *,
    at: datetime | None = None,
    since: datetime | None = None,
    edges: ServiceEdges | None = None,
    progress: Progress = silent,
) -> DiagnosisReport:
    """Diagnose every incident that has an open signal, from what was known at `at`.

    The result depends on the stored data alone: a second run for the same moment gives the same diagnoses.

    Args:
        at: the present; null: the platform's clock.
        since: leave out signals that began before; null: 30 days before `at`.
        edges: the service graph, (caller, callee); null: read it from the settings and the series.
    """
    at = at or platform.clock.now()
    snapshot = _Snapshot(platform, at, since or at - LOOKBACK, edges)
    records = []
    new = 0
    for done, incident in enumerate(snapshot.incidents):
        progress(_PROGRESS_STEP, done, len(snapshot.incidents))
        record = snapshot.diagnose(incident)
        new += _store_if_changed(platform, record, snapshot.last_record(record.incident_id))
        records.append(record)
    progress(_PROGRESS_STEP, len(snapshot.incidents), len(snapshot.incidents))
    return DiagnosisReport(records=tuple(sorted(records, key=_surest_first)), new=new)


def move_incident(
    platform: Platform, incident_id: str, after: IncidentState, *, by: str, reason: str = ""
) -> Transition:
    """Log the next state of an incident.

    Raises:
        NotFoundError: this tenant has no such incident.
        InputError: the incident cannot go from its state to that one.
    """
    log = _TransitionLog(platform, incident_id)
    if log.state is None:
        raise NotFoundError(f"there is no incident {incident_id!r}")
    return log.append(after, at=platform.clock.now(), by=by, reason=reason)


class _Snapshot:
    """What Forewarn knew at one moment.

    Attributes:
        incidents: those with an open signal.
    """

    def __init__(self, platform: Platform, at: datetime, since: datetime, edges: ServiceEdges | None) -> None:
        store = platform.store
        series = store.series.find()
        self._tenant = platform.tenant
        self._at = at
        feedback = [one for one in store.feedback.list() if one.at <= at]
        newest_feedback = {one.subject_id: one for one in feedback}
        signals = [
            signal
            for signal in store.signals.find(since=since, suppressed=False)
            if since <= signal.started_at <= at and not _is_rejected(newest_feedback, signal.signal_id)
        ]
        graph = graph_of(platform, series) if edges is None else edges
        self.incidents = [
            incident for incident in correlate(signals, graph) if any(map(self._is_open, incident.signals))
        ]
        ids = {signal.signal_id for incident in self.incidents for signal in incident.signals}
        # The newest come first, so the first record of an incident is its last diagnosis.
        self._records = store.diagnoses.of_signals(ids, until=at)
        self._states = store.transitions.states({record.incident_id for record in self._records})
        self._context = IncidentContext(
            events=store.events.between(since - SUSPECT_WINDOW, at + timedelta(microseconds=1)),
            incidents=store.incidents.between(at - PRECEDENT_LOOKBACK, at),
            edges=graph,
            roles={one.series_id: one.role for one in series},
            feedback=_feedback_by_cause(store.diagnoses.causes(newest_feedback.keys()), newest_feedback),
        )

    def diagnose(self, incident: DetectedIncident) -> DiagnosisRecord:
        ids = tuple(signal.signal_id for signal in incident.signals)
        return DiagnosisRecord(
            tenant=self._tenant,
            incident_id=self._incident_id(ids),
            service=incident.service,
            made_at=self._at,
            signal_ids=ids,
            diagnosis=score_hypotheses(propose_hypotheses(incident, self._context)),
        )

    def last_record(self, incident_id: str) -> DiagnosisRecord | None:
        return next((record for record in self._records if record.incident_id == incident_id), None)

    def _incident_id(self, signal_ids: Sequence[str]) -> str:
        """The id of an earlier incident with one of these signals, if it is open or no signal is new; else a new id."""
        left = list(signal_ids)
        for record in self._records:
            if not set(record.signal_ids) & set(left):
                continue
            if self._states.get(record.incident_id) not in _CLOSED or set(left) <= set(record.signal_ids):
                return record.incident_id
            left = [signal_id for signal_id in left if signal_id not in record.signal_ids]
        # "case" is part of every id in the database. Another word would change the ids.
        return stable_id(self._tenant, "case", left[0])

    def _is_open(self, signal: Signal) -> bool:
        return signal.ended_at is None or signal.ended_at > self._at


class _TransitionLog:
    """The state transitions of one incident.

    Attributes:
        state: the state after the last one; null when there are none.
    """

    def __init__(self, platform: Platform, incident_id: str) -> None:
        self._platform = platform
        self._incident_id = incident_id
        transitions = platform.store.transitions.list(incident_id)
        self.state = transitions[-1].after if transitions else None

    def append(self, after: IncidentState, *, at: datetime, by: str, reason: str) -> Transition:
        """Log one transition.

        Raises:
            InputError: the incident cannot go from its state to that one.
        """
        require_transition(self.state, after)
        transition = Transition(
            tenant=self._platform.tenant,
            incident_id=self._incident_id,
            before=self.state,
            after=after,
            at=at,
            by=by,
            reason=reason,
        )
        self._platform.store.transitions.append(transition)
        self.state = after
        return transition


def _store_if_changed(platform: Platform, record: DiagnosisRecord, last: DiagnosisRecord | None) -> bool:
    """Store a diagnosis that differs from the last one, and log the transitions that follow from it."""
    if last is not None and (last.diagnosis, last.signal_ids) == (record.diagnosis, record.signal_ids):
        return False
    with platform.store.atomically():
        platform.store.diagnoses.add([record])
        log = _TransitionLog(platform, record.incident_id)
        diagnosis = record.diagnosis
        if log.state is None:
            statement = diagnosis.top.hypothesis.statement if diagnosis.top else "no likely cause"
            log.append(IncidentState.DETECTED, at=record.made_at, by=SCORER, reason=statement)
        after = {
            PolicyDecision.ACKNOWLEDGE: IncidentState.ACKNOWLEDGED,
            PolicyDecision.INCONCLUSIVE: IncidentState.INCONCLUSIVE,
        }.get(diagnosis.decision)
        if after is not None and log.state is IncidentState.DETECTED:
            log.append(after, at=record.made_at, by=SCORER, reason=diagnosis.reason)
    return True


def _is_rejected(newest_feedback: Mapping[str, Feedback], subject_id: str) -> bool:
    """Whether a person has called a signal a false positive."""
    feedback = newest_feedback.get(subject_id)
    return feedback is not None and not feedback.value.is_positive


def _feedback_by_cause(
    causes: Mapping[str, CauseKind], newest_feedback: Mapping[str, Feedback]
) -> dict[CauseKind, tuple[int, int]]:
    """How often people accepted and rejected each kind of cause.

    Feedback on a whole diagnosis counts for its likeliest hypothesis.

    Args:
        causes: of hypotheses and diagnoses, by their ids.
    """
    counts: dict[CauseKind, tuple[int, int]] = {}
    for subject_id, feedback in sorted(newest_feedback.items()):
        cause = causes.get(subject_id)
        if cause is not None:
            accepted, rejected = counts.get(cause, (0, 0))
            counts[cause] = (
                accepted + feedback.value.is_positive,
                rejected + (not feedback.value.is_positive),
            )
    return counts


def _surest_first(record: DiagnosisRecord) -> tuple[float, str]:
    top = record.diagnosis.top
    return (-top.confidence if top else 0.0, record.incident_id)
