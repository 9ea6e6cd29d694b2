"""The responses of the API: types of `core`, and the model version that made each prediction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import TypeAdapter
from starlette.responses import Response

from core.diagnosis import FactorScore, FeedbackValue, Hypothesis, PolicyDecision
from core.domain import Band, DetectorResult, FailureRisk, FilterResult, ModelRef
from pipelines.common.deprecated import SentSignal, WithOldNames

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPoint:
    """The score of one value.

    Attributes:
        score: from 0 to 1, higher is more anomalous; null where it cannot be scored yet; `note` has the reason.
        p_value: how often a normal value is at least as unusual.
        deviation_sigma: distance from the expectation in standard deviations, with its sign.
        suppressed_by: the first filter that suppressed the anomaly; it is stored and not sent.
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
    """The results have the order of the values in the request."""

    model: ModelRef
    results: tuple[Annotated[ScoredPoint, WithOldNames()], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPoint:
    """The forecast for one time. `intervals`: level, such as "0.8" -> lower and upper edge."""

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
    proposed_threshold: float | None
    made_at: datetime
    points: tuple[ForecastPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRisk:
    """The failure risk of one service. `risk` is null when the service has no features yet; `note` has the reason."""

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
    """A hypothesis with its confidence as a range, and the five factors whose sum is the confidence."""

    hypothesis: Hypothesis
    confidence: float
    low: float
    high: float
    shown: bool
    factors: tuple[FactorScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreHypothesesResponse:
    """A diagnosis: the decision of the policy with its reason, and the hypotheses, the likeliest first.

    The scorer is a rule. Its version is that of its weights and of the program.
    """

    model: ModelRef
    decision: PolicyDecision
    reason: str
    ranked: tuple[RankedHypothesis, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsResponse:
    """Signals, newest first. `next_cursor` is for the request of the next page; it is null on the last page.

    When the request names one signal by its id, `in_words` describes it for people: name -> lines.
    """

    signals: tuple[SentSignal, ...]
    next_cursor: str | None
    in_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsResponse:
    """Kind -> version of the active model. A model is loaded at the first request that needs it."""

    models: Mapping[str, ModelRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsResponse:
    received: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackResponse:
    """The feedback was stored. `signal_id` is as in the request; null for a hypothesis or a diagnosis."""

    subject_id: str
    value: FeedbackValue
    signal_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResponse:
    """How much was stored. Rejected items are stored as dead letters, with the reason."""

    events: int
    incidents: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """What is wrong, in one sentence."""

    error: str


@cache
def adapter_of(kind: type) -> TypeAdapter[Any]:
    """Serializes and describes one type of response; NaN becomes null."""
    return TypeAdapter(kind)


def respond(response: "DataclassInstance", headers: Mapping[str, str] | None = None) -> Response:
    """The response as JSON, status 200."""
    body = adapter_of(type(response)).dump_json(response)
    return Response(body, headers=headers, media_type="application/json")
