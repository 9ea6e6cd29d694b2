"""The vocabulary of judging: evidence, hypotheses, their scores, the judgement, and the states of a case.

A hypothesis is one possible cause of one trouble. Evidence speaks for it or against it; the scorer in
`models/causes/score.py` weighs it. What is built here is plain data, so that a judgement can be kept and
made again.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.domain import require_unit_interval, require_utc, stable_id
from core.errors import InputError


class EvidenceKind(StrEnum):
    """What a piece of evidence is."""

    SYMPTOM = "symptom"
    DEPLOY = "deploy"
    CONFIG_CHANGE = "config_change"
    REPORT = "report"


class Cause(StrEnum):
    """What a hypothesis says is behind the trouble."""

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


class Decision(StrEnum):
    """What is to be done with a judgement."""

    ACKNOWLEDGE = "acknowledge"
    SHOW = "show"
    ASK = "ask"
    WATCH = "watch"
    INCONCLUSIVE = "inconclusive"


class IncidentState(StrEnum):
    """Where a case stands; `models.causes.score.NEXT_STATES` says what may follow what."""

    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    INCONCLUSIVE = "inconclusive"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation that speaks for a hypothesis, or against it.

    Attributes:
        source: what it was seen by; two pieces are independent when their sources differ.
        at: when it happened; of a symptom, its onset.
        supports: false when it contradicts the hypothesis.
        strong: false for what alone would convince nobody.
        deviation_sigma: of a symptom, how far from the expectation, in standard deviations, either sign.
        ref: the signal, event or incident to look up.
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
    """One possible cause of one trouble, with all that speaks for and against it.

    Attributes:
        service: where the cause would be.
        statement: the cause in words: `bad deploy of checkout 2.3.1`.
        precedents: how many past incidents were like it.
        accepted: how many past verdicts of this kind a person accepted.
        rejected: how many a person rejected.
    """

    tenant: str
    service: str
    cause: Cause
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
        """Stable: the same cause in the same words is the same hypothesis, whatever the evidence."""
        return stable_id(self.tenant, self.service, self.cause, self.statement)

    @property
    def conflicting(self) -> bool:
        """Whether some of the evidence speaks against it."""
        return any(not piece.supports for piece in self.evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorScore:
    """One line of the breakdown: value and uncertainty in [0, 1], and why in words."""

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
        """What it adds to the confidence."""
        return self.weight * self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredHypothesis:
    """A hypothesis with its confidence, as a range, and the breakdown that it is the sum of."""

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
class Judgement:
    """All hypotheses of one trouble, the likeliest first, and what the policy makes of them.

    Attributes:
        ranked: every hypothesis that was scored.
        shown: those of them that a person should see, at most three.
    """

    decision: Decision
    reason: str
    ranked: tuple[ScoredHypothesis, ...]
    shown: tuple[ScoredHypothesis, ...]

    @property
    def top(self) -> ScoredHypothesis | None:
        return self.ranked[0] if self.ranked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement as it was given: on which trouble, when, on which signals. Kept and never rewritten.

    Attributes:
        case_id: the trouble; later verdicts on the same trouble carry the same one.
    """

    tenant: str
    case_id: str
    service: str
    made_at: datetime
    signal_ids: tuple[str, ...]
    judgement: Judgement

    def __post_init__(self) -> None:
        require_utc(self.made_at, "made_at")

    @property
    def verdict_id(self) -> str:
        return stable_id(self.tenant, self.case_id, self.made_at.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a person says of a signal, a verdict or a hypothesis, by its id: right or wrong. The last counts."""

    tenant: str
    subject_id: str
    accepted: bool
    at: datetime
    by: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of a case. Steps are only ever added. `before` is null for the first, DETECTED."""

    tenant: str
    case_id: str
    before: IncidentState | None
    after: IncidentState
    at: datetime
    by: str
    reason: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
