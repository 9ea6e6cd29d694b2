"""What is answered: the words of `core`, with the model that said it named in every answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from starlette.responses import Response

from core.diagnosis import FactorScore, Hypothesis, PolicyDecision
from core.domain import Band, DetectorResult, FailureRisk, FilterResult, ModelRef, Signal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPoint:
    """One value, judged.

    Attributes:
        score: from 0 to 1, higher is more anomalous; null where it cannot be scored yet, and `note` says why.
        p_value: how often a normal value looks at least as odd.
        deviation_sigma: distance from the expectation in standard deviations, with its sign.
        suppressed_by: the first gate that did not hold; such a finding is kept and never sent.
    """

    series_id: int
    series: str
    ts: datetime
    value: float | None
    band: Band | None
    score: float | None
    p_value: float | None
    deviation_sigma: float | None
    is_anomaly: bool
    suppressed_by: str | None = None
    filters: tuple[FilterResult, ...] = ()
    detectors: tuple[DetectorResult, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectResponse:
    """In the order of the observations that were sent."""

    model: ModelRef
    results: tuple[ScoredPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPoint:
    """`intervals` holds, by level such as "0.8", the lower and the upper edge."""

    ts: datetime
    yhat: float
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastResponse:
    model: ModelRef
    series_id: int
    series: str
    unit: str
    threshold: float | None
    made_at: datetime
    points: tuple[ForecastPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRisk:
    """`risk` is null where the service has no features online yet, and `note` says so."""

    service: str
    features_at: datetime | None
    risk: FailureRisk | None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictFailureResponse:
    model: ModelRef
    results: tuple[ServiceRisk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedHypothesis:
    """A hypothesis with its confidence as a range, and the five factors that add up to it."""

    hypothesis: Hypothesis
    confidence: float
    low: float
    high: float
    shown: bool
    factors: tuple[FactorScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreHypothesesResponse:
    """The likeliest first. The scorer is a rule: its version is that of its weights and of the program."""

    model: ModelRef
    decision: PolicyDecision
    reason: str
    ranked: tuple[RankedHypothesis, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsResponse:
    """Newest first; `next_cursor` leads to the next page and is null on the last.

    Where one was asked for by its id, `in_words` is what a person reads of it: name -> lines.
    """

    signals: tuple[Signal, ...]
    next_cursor: str | None
    in_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsResponse:
    """By kind, the version that answers now; a kind that nobody asked for yet is not loaded."""

    models: Mapping[str, ModelRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsResponse:
    received: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackResponse:
    signal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResponse:
    """What was taken; what made no sense is kept as dead letters, with the reason."""

    events: int
    incidents: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """One clear sentence."""

    error: str


@cache
def adapter_of(kind: type) -> TypeAdapter[Any]:
    """Writes a kind of answer as JSON and describes it; NaN becomes null."""
    return TypeAdapter(kind)


def respond(answer: "DataclassInstance") -> Response:
    """The answer as JSON, status 200."""
    return Response(adapter_of(type(answer)).dump_json(answer), media_type="application/json")
