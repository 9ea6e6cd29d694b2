"""The domain of diagnosis: evidence, hypotheses, their scores, the diagnosis, and the states of an incident.

A hypothesis is one possible cause of one incident. Evidence supports it or contradicts it; the scorer in
`models/causes/score.py` weighs the evidence. Everything here is plain data, so that a diagnosis can be stored and
reproduced.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from core.checks import require_unit_interval, require_utc
from core.domain import stable_id
from core.errors import InputError


class EvidenceKind(StrEnum):
    """The kind of a piece of evidence."""

    SYMPTOM = "symptom"
    DEPLOY = "deploy"
    CONFIG_CHANGE = "config_change"
    REPORT = "report"


class CauseKind(StrEnum):
    """The kind of cause that a hypothesis names."""

    DEPLOY = "deploy"
    CONFIG_CHANGE = "config_change"
    CAPACITY = "capacity"
    DEPENDENCY = "dependency"
    TRAFFIC = "traffic"
    SILENCE = "silence"
    FAULT = "fault"


class FactorName(StrEnum):
    """The five factors of a score."""

    SIGNAL_STRENGTH = "signal strength"
    TEMPORAL_CORRELATION = "temporal correlation"
    PRECEDENT_FREQUENCY = "precedent frequency"
    EVIDENCE_QUALITY = "evidence quality"
    HUMAN_VALIDATION = "human validation"


class PolicyDecision(StrEnum):
    """What the policy does with a diagnosis."""

    ACKNOWLEDGE = "acknowledge"
    SHOW = "show"
    ASK = "ask"
    WATCH = "watch"
    INCONCLUSIVE = "inconclusive"


class IncidentState(StrEnum):
    """The state of an incident; `models.causes.score.NEXT_STATES` lists the allowed transitions."""

    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    INCONCLUSIVE = "inconclusive"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation that supports a hypothesis or contradicts it.

    Attributes:
        source: where it was observed; pieces with different sources are independent.
        at: when it happened; the start of a symptom.
        supports: false if it contradicts the hypothesis.
        strong: whether the observation would be convincing alone.
        deviation_sigma: deviation of a symptom from the expected value, in standard deviations, signed.
        ref: id of the signal, event or incident.
    """

    kind: EvidenceKind
    source: str
    at: datetime
    text: str
    supports: bool = True
    strong: bool = True
    deviation_sigma: float | None = None
    ref: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not self.source:
            raise InputError("evidence needs a source")
        if self.deviation_sigma is not None and math.isnan(self.deviation_sigma):
            raise InputError("deviation_sigma must be a number or null, got nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One possible cause of one incident, with the evidence for and against it.

    Attributes:
        service: where the cause would be.
        statement: the cause in words: `bad deploy of checkout 2.3.1`.
        precedents: number of similar incidents before.
        accepted: number of hypotheses of this kind that people accepted.
        rejected: number of hypotheses of this kind that people rejected.
    """

    tenant: str
    service: str
    cause: CauseKind
    statement: str
    evidence: tuple[Evidence, ...] = ()
    precedents: int = 0
    accepted: int = 0
    rejected: int = 0

    def __post_init__(self) -> None:
        for name in ("precedents", "accepted", "rejected"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def hypothesis_id(self) -> str:
        """A stable id: the same statement at the same service has the same id, whatever the evidence."""
        return stable_id(self.tenant, self.service, self.cause, self.statement)

    @property
    def conflicting(self) -> bool:
        """Whether a piece of evidence contradicts it."""
        return any(not piece.supports for piece in self.evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorScore:
    """One factor of a score: value and uncertainty in [0, 1], and a reason in words."""

    factor: FactorName
    weight: float
    value: float
    uncertainty: float
    reason: str

    def __post_init__(self) -> None:
        for name in ("weight", "value", "uncertainty"):
            require_unit_interval(getattr(self, name), name)

    @property
    def contribution(self) -> float:
        """What the factor adds to the confidence."""
        return self.weight * self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredHypothesis:
    """A hypothesis with its confidence as a range, and the factors that add up to it."""

    hypothesis: Hypothesis
    confidence: float
    uncertainty: float
    factors: tuple[FactorScore, ...]

    def __post_init__(self) -> None:
        require_unit_interval(self.confidence, "confidence")
        require_unit_interval(self.uncertainty, "uncertainty")

    @property
    def low(self) -> float:
        return max(0.0, self.confidence - self.uncertainty)

    @property
    def high(self) -> float:
        return min(1.0, self.confidence + self.uncertainty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the scorer returns for one incident: its hypotheses, the likeliest first, and the decision of the policy.

    Attributes:
        ranked: every hypothesis that was scored.
        shown: the hypotheses that a person should see, at most three.
    """

    decision: PolicyDecision
    reason: str
    ranked: tuple[ScoredHypothesis, ...]
    shown: tuple[ScoredHypothesis, ...]

    @property
    def top(self) -> ScoredHypothesis | None:
        return self.ranked[0] if self.ranked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRecord:
    """A diagnosis of an incident at a time, with the signals it was made from. It is stored and never changed.

    Attributes:
        incident_id: the same for all diagnoses of an incident.
    """

    tenant: str
    incident_id: str
    service: str
    made_at: datetime
    signal_ids: tuple[str, ...]
    diagnosis: Diagnosis

    def __post_init__(self) -> None:
        require_utc(self.made_at, "made_at")

    @property
    def diagnosis_id(self) -> str:
        return stable_id(self.tenant, self.incident_id, self.made_at.isoformat())


class FeedbackValue(StrEnum):
    """What a person says: the first two about a signal, the last two about a hypothesis or a diagnosis."""

    TRUE_POSITIVE = "true_positive"
    FALSE_POSITIVE = "false_positive"
    ACCEPTED = "accepted"
    REJECTED = "rejected"

    @property
    def is_positive(self) -> bool:
        """Whether the person agrees."""
        return self in (FeedbackValue.TRUE_POSITIVE, FeedbackValue.ACCEPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a person says about a signal, a hypothesis or a diagnosis, by its id. The newest one counts.

    Attributes:
        by: name of the person.
        note: the reason; "" if the person gave none.
    """

    tenant: str
    subject_id: str
    value: FeedbackValue
    at: datetime
    by: str
    note: str

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not self.by:
            raise InputError("feedback needs the name of the person or program that gives it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of the state of an incident. Transitions are never changed. `before` is null for the first one.

    Attributes:
        by: the person, or the scorer.
    """

    tenant: str
    incident_id: str
    before: IncidentState | None
    after: IncidentState
    at: datetime
    by: str
    reason: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")


class DiagnosisRepository(Protocol):
    def add(self, records: Iterable[DiagnosisRecord]) -> int:
        """Store diagnoses, each once and unchanged; returns how many are new."""
        ...

    def list(
        self, *, incident_id: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> list[DiagnosisRecord]:
        """Diagnoses, newest first."""
        ...

    def of_signals(self, signal_ids: Collection[str], *, until: datetime) -> Sequence[DiagnosisRecord]:
        """The diagnoses until a moment of the incidents that ever had one of these signals, newest first.

        Of those of the same incident with the same signals, only the newest.
        """
        ...

    def causes(self, subject_ids: Collection[str]) -> Mapping[str, CauseKind]:
        """The kind of cause of hypotheses by their ids, and of the likeliest one of diagnoses; of those that exist."""
        ...


class TransitionRepository(Protocol):
    def append(self, transition: Transition) -> None:
        """Log one state transition."""
        ...

    def list(self, incident_id: str | None = None) -> list[Transition]:
        """The whole log, or that of one incident, in the order in which it was written."""
        ...

    def states(self, incident_ids: Collection[str]) -> Mapping[str, IncidentState]:
        """The state of each of these incidents that has one."""
        ...
