"""Weigh what is behind the open incidents: gather the evidence, score it, keep the record and log its steps."""

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
from core.domain import Signal, stable_id
from core.errors import NotFoundError
from models.causes.incidents import DetectedIncident, correlate
from models.causes.propose import SUSPECT_WINDOW, IncidentContext, propose_hypotheses
from models.causes.score import require_transition
from models.causes.score import score_hypotheses as score
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import Edges, service_graph
from pipelines.common.tenant_platform import Platform

#: How far back open signals, and the records on them, are looked for.
LOOKBACK = timedelta(days=30)
#: Precedents: as far as anything is kept.
MEMORY = timedelta(days=3 * 365)
#: Who takes the steps that no person takes.
SCORER = "scorer"
_AT_MOST = 10_000
_STEP = "weigh hypotheses"
#: A incident in one of these is closed: what comes after is a incident of its own.
_CLOSED = {IncidentState.RESOLVED, IncidentState.INCONCLUSIVE, IncidentState.LEARNED}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisReport:
    """Attributes:
    records: one for each open incident, the surest first.
    new: how many say something that was not said before, and so were kept.
    """

    records: tuple[DiagnosisRecord, ...]
    new: int

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        return tuple(record.diagnosis for record in self.records)


def score_hypotheses(
    platform: Platform,
    *,
    at: datetime | None = None,
    since: datetime | None = None,
    edges: Edges | None = None,
    progress: Progress = silent,
) -> DiagnosisReport:
    """Judge every incident that has an open signal, from what was known at `at`; again and again the same.

    Args:
        at: the present; null: the platform's clock.
        since: leave out signals that began before; null: 30 days back.
        edges: the service graph, (caller, callee); null: that of the settings and the series.
    """
    at = at or platform.clock.now()
    known = _KnownAt(platform, at, since or at - LOOKBACK, edges)
    records = []
    new = 0
    for done, incident in enumerate(known.incidents):
        progress(_STEP, done, len(known.incidents))
        record = known.diagnose(incident)
        new += _keep(platform, record, known.last_record(record.incident_id))
        records.append(record)
    progress(_STEP, len(known.incidents), len(known.incidents))
    return DiagnosisReport(records=tuple(sorted(records, key=_surest_first)), new=new)


def move_incident(
    platform: Platform, incident_id: str, after: IncidentState, *, by: str, reason: str = ""
) -> Transition:
    """Log the next step of an incident.

    Raises:
        NotFoundError: this tenant has no such incident.
        InputError: the incident cannot take that step from where it is.
    """
    steps = platform.store.transitions.list(incident_id)
    if not steps:
        raise NotFoundError(f"there is no incident {incident_id!r}")
    return _step(platform, incident_id, steps[-1].after, after, platform.clock.now(), by, reason)


class _KnownAt:
    """All that was known at one moment."""

    def __init__(self, platform: Platform, at: datetime, since: datetime, edges: Edges | None) -> None:
        store = platform.store
        series = store.series.find()
        self._tenant = platform.tenant
        self._at = at
        # newest first, so the first record on a incident is the last one given
        self._records = [
            v for v in store.diagnoses.list(since=since - MEMORY, limit=_AT_MOST) if v.made_at <= at
        ]
        self._states = {step.incident_id: step.after for step in store.transitions.list()}
        feedback = [one for one in store.feedback.list() if one.at <= at]
        newest_feedback = {one.subject_id: one for one in feedback}
        signals = [
            signal
            for signal in store.signals.find(since=since, suppressed=False, limit=_AT_MOST)
            if since <= signal.started_at <= at and _is_believed(newest_feedback, signal.signal_id)
        ]
        graph = service_graph(platform.settings.service_graph, series) if edges is None else edges
        self.incidents = [
            incident for incident in correlate(signals, graph) if any(map(self._is_open, incident.signals))
        ]
        self._context = IncidentContext(
            events=store.events.between(since - SUSPECT_WINDOW, at + timedelta(microseconds=1)),
            incidents=store.incidents.between(at - MEMORY, at),
            edges=graph,
            roles={one.series_id: one.role for one in series},
            feedback=_feedback_by_cause(self._records, newest_feedback),
        )

    def diagnose(self, incident: DetectedIncident) -> DiagnosisRecord:
        ids = tuple(signal.signal_id for signal in incident.signals)
        return DiagnosisRecord(
            tenant=self._tenant,
            incident_id=self._incident_id(ids),
            service=incident.service,
            made_at=self._at,
            signal_ids=ids,
            diagnosis=score(propose_hypotheses(incident, self._context)),
        )

    def last_record(self, incident_id: str) -> DiagnosisRecord | None:
        return next((record for record in self._records if record.incident_id == incident_id), None)

    def _incident_id(self, signal_ids: Sequence[str]) -> str:
        """The incident that has judged one of these signals before, while it is open or nothing new has come."""
        left = list(signal_ids)
        for record in self._records:
            if not set(record.signal_ids) & set(left):
                continue
            if self._states.get(record.incident_id) not in _CLOSED or set(left) <= set(record.signal_ids):
                return record.incident_id
            left = [signal_id for signal_id in left if signal_id not in record.signal_ids]
        return stable_id(self._tenant, "case", left[0])

    def _is_open(self, signal: Signal) -> bool:
        return signal.ended_at is None or signal.ended_at > self._at


def _keep(platform: Platform, record: DiagnosisRecord, last: DiagnosisRecord | None) -> bool:
    """Keep a record that says something new, and log the steps that follow from it."""
    if last is not None and (last.diagnosis, last.signal_ids) == (record.diagnosis, record.signal_ids):
        return False
    with platform.store.atomically():
        platform.store.diagnoses.add([record])
        steps = platform.store.transitions.list(record.incident_id)
        state = steps[-1].after if steps else None
        diagnosis = record.diagnosis
        if state is None:
            statement = diagnosis.top.hypothesis.statement if diagnosis.top else "nothing to suspect"
            state = _step(
                platform,
                record.incident_id,
                None,
                IncidentState.DETECTED,
                record.made_at,
                SCORER,
                statement,
            ).after
        after = {
            PolicyDecision.ACKNOWLEDGE: IncidentState.ACKNOWLEDGED,
            PolicyDecision.INCONCLUSIVE: IncidentState.INCONCLUSIVE,
        }.get(diagnosis.decision)
        if after is not None and state is IncidentState.DETECTED:
            _step(platform, record.incident_id, state, after, record.made_at, SCORER, diagnosis.reason)
    return True


def _step(
    platform: Platform,
    incident_id: str,
    before: IncidentState | None,
    after: IncidentState,
    at: datetime,
    by: str,
    reason: str,
) -> Transition:
    require_transition(before, after)
    step = Transition(
        tenant=platform.tenant,
        incident_id=incident_id,
        before=before,
        after=after,
        at=at,
        by=by,
        reason=reason,
    )
    platform.store.transitions.append(step)
    return step


def _is_believed(newest_feedback: Mapping[str, Feedback], subject_id: str) -> bool:
    """What nobody called false."""
    feedback = newest_feedback.get(subject_id)
    return feedback is None or feedback.value.is_positive


def _feedback_by_cause(
    records: Sequence[DiagnosisRecord], newest_feedback: Mapping[str, Feedback]
) -> dict[CauseKind, tuple[int, int]]:
    """What people said of past records; of a record as a whole, it counts for its likeliest hypothesis."""
    causes: dict[str, CauseKind] = {}
    for record in records:
        for scored in record.diagnosis.ranked:
            causes[scored.hypothesis.hypothesis_id] = scored.hypothesis.cause
        if record.diagnosis.top is not None:
            causes[record.diagnosis_id] = record.diagnosis.top.hypothesis.cause
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
