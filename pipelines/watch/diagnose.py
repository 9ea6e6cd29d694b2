"""Weigh what is behind the open troubles: gather the evidence, score it, keep the verdict and log its steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core.diagnosis import Cause, Decision, Feedback, IncidentState, Judgement, Transition, Verdict
from core.domain import Signal, stable_id
from core.errors import NotFoundError
from models.causes.incidents import Trouble, correlate
from models.causes.propose import SUSPECT_WINDOW, Context, hypothesise
from models.causes.score import require_transition
from models.causes.score import score_hypotheses as score
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import Edges, service_graph

if TYPE_CHECKING:
    from pipelines.wiring import Platform

#: How far back open signals, and the verdicts on them, are looked for.
LOOKBACK = timedelta(days=30)
#: Precedents: as far as anything is kept.
MEMORY = timedelta(days=3 * 365)
#: Who takes the steps that no person takes.
SCORER = "scorer"
_AT_MOST = 10_000
_STEP = "weigh hypotheses"
#: A case in one of these is closed: what comes after is a case of its own.
_CLOSED = {IncidentState.RESOLVED, IncidentState.INCONCLUSIVE, IncidentState.LEARNED}


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisReport:
    """Attributes:
    verdicts: one for each open trouble, the surest first.
    new: how many say something that was not said before, and so were kept.
    """

    verdicts: tuple[Verdict, ...]
    new: int

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        return tuple(verdict.judgement for verdict in self.verdicts)


def score_hypotheses(
    platform: "Platform",
    *,
    at: datetime | None = None,
    since: datetime | None = None,
    edges: Edges | None = None,
    progress: Progress = silent,
) -> HypothesisReport:
    """Judge every trouble that has an open signal, from what was known at `at`; again and again the same.

    Args:
        at: the present; null: the platform's clock.
        since: leave out signals that began before; null: 30 days back.
        edges: the service graph, (caller, callee); null: that of the settings and the series.
    """
    at = at or platform.clock.now()
    gathered = _Gathered(platform, at, since or at - LOOKBACK, edges)
    verdicts = []
    new = 0
    for done, trouble in enumerate(gathered.troubles):
        progress(_STEP, done, len(gathered.troubles))
        verdict = gathered.judge(trouble)
        new += _keep(platform, verdict, gathered.last_verdict(verdict.case_id))
        verdicts.append(verdict)
    progress(_STEP, len(gathered.troubles), len(gathered.troubles))
    return HypothesisReport(verdicts=tuple(sorted(verdicts, key=_surest_first)), new=new)


def move_case(
    platform: "Platform", case_id: str, after: IncidentState, *, by: str, reason: str = ""
) -> Transition:
    """Log the next step of a case.

    Raises:
        NotFoundError: this tenant has no such case.
        InputError: the case cannot take that step from where it is.
    """
    steps = platform.store.transitions.list(case_id)
    if not steps:
        raise NotFoundError(f"there is no case {case_id!r}")
    return _step(platform, case_id, steps[-1].after, after, platform.clock.now(), by, reason)


class _Gathered:
    """All that was known at one moment."""

    def __init__(self, platform: "Platform", at: datetime, since: datetime, edges: Edges | None) -> None:
        store = platform.store
        series = store.series.find()
        self._tenant = platform.tenant
        self._at = at
        # newest first, so the first verdict on a case is the last one given
        self._verdicts = [
            v for v in store.verdicts.list(since=since - MEMORY, limit=_AT_MOST) if v.made_at <= at
        ]
        self._states = {step.case_id: step.after for step in store.transitions.list()}
        feedback = [said for said in store.feedback.list() if said.at <= at]
        last_said = {said.subject_id: said for said in feedback}
        signals = [
            signal
            for signal in store.signals.find(since=since, stopped=False, limit=_AT_MOST)
            if since <= signal.started_at <= at and _accepted(last_said, signal.signal_id)
        ]
        graph = service_graph(platform.settings.service_graph, series) if edges is None else edges
        self.troubles = [
            trouble for trouble in correlate(signals, graph) if any(map(self._is_open, trouble.signals))
        ]
        self._context = Context(
            events=store.events.between(since - SUSPECT_WINDOW, at + timedelta(microseconds=1)),
            incidents=store.incidents.between(at - MEMORY, at),
            edges=graph,
            roles={one.series_id: one.role for one in series},
            said=_said_by_cause(self._verdicts, last_said),
        )

    def judge(self, trouble: Trouble) -> Verdict:
        ids = tuple(signal.signal_id for signal in trouble.signals)
        return Verdict(
            tenant=self._tenant,
            case_id=self._case_id(ids),
            service=trouble.service,
            made_at=self._at,
            signal_ids=ids,
            judgement=score(hypothesise(trouble, self._context)),
        )

    def last_verdict(self, case_id: str) -> Verdict | None:
        return next((verdict for verdict in self._verdicts if verdict.case_id == case_id), None)

    def _case_id(self, signal_ids: Sequence[str]) -> str:
        """The case that has judged one of these signals before, while it is open or nothing new has come."""
        left = list(signal_ids)
        for verdict in self._verdicts:
            if not set(verdict.signal_ids) & set(left):
                continue
            if self._states.get(verdict.case_id) not in _CLOSED or set(left) <= set(verdict.signal_ids):
                return verdict.case_id
            left = [signal_id for signal_id in left if signal_id not in verdict.signal_ids]
        return stable_id(self._tenant, "case", left[0])

    def _is_open(self, signal: Signal) -> bool:
        return signal.ended_at is None or signal.ended_at > self._at


def _keep(platform: "Platform", verdict: Verdict, last: Verdict | None) -> bool:
    """Keep a verdict that says something new, and log the steps that follow from it."""
    if last is not None and (last.judgement, last.signal_ids) == (verdict.judgement, verdict.signal_ids):
        return False
    with platform.store.atomically():
        platform.store.verdicts.add([verdict])
        steps = platform.store.transitions.list(verdict.case_id)
        state = steps[-1].after if steps else None
        judgement = verdict.judgement
        if state is None:
            statement = judgement.top.hypothesis.statement if judgement.top else "nothing to suspect"
            state = _step(
                platform, verdict.case_id, None, IncidentState.DETECTED, verdict.made_at, SCORER, statement
            ).after
        after = {
            Decision.ACKNOWLEDGE: IncidentState.ACKNOWLEDGED,
            Decision.INCONCLUSIVE: IncidentState.INCONCLUSIVE,
        }.get(judgement.decision)
        if after is not None and state is IncidentState.DETECTED:
            _step(platform, verdict.case_id, state, after, verdict.made_at, SCORER, judgement.reason)
    return True


def _step(
    platform: "Platform",
    case_id: str,
    before: IncidentState | None,
    after: IncidentState,
    at: datetime,
    by: str,
    reason: str,
) -> Transition:
    require_transition(before, after)
    step = Transition(
        tenant=platform.tenant, case_id=case_id, before=before, after=after, at=at, by=by, reason=reason
    )
    platform.store.transitions.append(step)
    return step


def _accepted(last_said: Mapping[str, Feedback], subject_id: str) -> bool:
    """What nobody called false."""
    said = last_said.get(subject_id)
    return said is None or said.accepted


def _said_by_cause(
    verdicts: Sequence[Verdict], last_said: Mapping[str, Feedback]
) -> dict[Cause, tuple[int, int]]:
    """What people said of past verdicts; of a verdict as a whole, it counts for its likeliest hypothesis."""
    causes: dict[str, Cause] = {}
    for verdict in verdicts:
        for scored in verdict.judgement.ranked:
            causes[scored.hypothesis.hypothesis_id] = scored.hypothesis.cause
        if verdict.judgement.top is not None:
            causes[verdict.verdict_id] = verdict.judgement.top.hypothesis.cause
    counts: dict[Cause, tuple[int, int]] = {}
    for subject_id, said in sorted(last_said.items()):
        cause = causes.get(subject_id)
        if cause is not None:
            accepted, rejected = counts.get(cause, (0, 0))
            counts[cause] = (accepted + said.accepted, rejected + (not said.accepted))
    return counts


def _surest_first(verdict: Verdict) -> tuple[float, str]:
    top = verdict.judgement.top
    return (-top.confidence if top else 0.0, verdict.case_id)
