"""The requests of the API: strict types, no unknown fields, no NaN; each with an example for the API docs.

Nothing is converted: a number in quotes is refused, and so is a time without a zone. The endpoints check what these
types cannot know: that a series exists, that a time does not lie in the future.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from core.diagnosis import CauseKind, EvidenceKind, FeedbackValue
from core.domain import EventKind
from core.storable import Labels, Name, Text, storable_time

#: Limits of one request; above them, several requests are faster than one.
MAX_OBSERVATIONS = 1_000
MAX_SERIES = 2_000
MAX_POINTS = 50_000
MAX_HYPOTHESES = 100
MAX_EVIDENCE = 100
#: What feedback on a signal can be.
_SIGNAL_VALUES = (FeedbackValue.TRUE_POSITIVE, FeedbackValue.FALSE_POSITIVE)
_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def _require_iso(value: Any) -> Any:
    # Pydantic reads a number, quoted or not, as seconds since 1970, and a date alone as midnight.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value)):
        return value
    raise ValueError("should be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z")


#: An ISO 8601 time with a zone, converted to UTC.
Moment = Annotated[
    AwareDatetime, BeforeValidator(_require_iso), AfterValidator(storable_time), Field(strict=False)
]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Request(BaseModel):
    """Base of all requests."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class SeriesRef(Request):
    """A series, named by its `series_id` or by service, metric and labels."""

    series_id: int | None = Field(
        None, ge=0, lt=2**63, description="The id; it replaces service, metric and labels."
    )
    service: Name | None = None
    metric: Name | None = None
    labels: Labels = {}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_name = self.service is not None and self.metric is not None
        if (self.series_id is None) != by_name:
            raise ValueError("should name a series, either by series_id or by service and metric")
        return self


class Point(Request):
    ts: Moment
    value: Number | None = Field(description="In the unit of the series; null where it is missing.")


class Observation(SeriesRef, Point):
    """One value of one series."""


class DetectRequest(Request):
    """One value or several values, of one series or several series, to be scored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "observations": [
                        {
                            "service": "checkout",
                            "metric": "latency_p99_seconds",
                            "ts": "2026-01-31T12:00:00Z",
                            "value": 0.71,
                        }
                    ]
                }
            ]
        }
    )
    observations: list[Observation] = Field(fail_fast=True, min_length=1, max_length=MAX_OBSERVATIONS)


class SeriesPoints(SeriesRef):
    """Values of one series over a time range."""

    points: list[Point] = Field(fail_fast=True, min_length=1, max_length=MAX_POINTS)


class DetectBatchRequest(Request):
    """Values of many series over time ranges."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "series": [
                        {
                            "service": "checkout",
                            "metric": "error_ratio",
                            "points": [
                                {"ts": "2026-01-31T12:00:00Z", "value": 0.002},
                                {"ts": "2026-01-31T12:05:00Z", "value": 0.04},
                            ],
                        }
                    ]
                }
            ]
        }
    )
    series: list[SeriesPoints] = Field(fail_fast=True, min_length=1, max_length=MAX_SERIES)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        points = sum(len(one.points) for one in self.series)
        if points > MAX_POINTS:
            raise ValueError(f"should hold at most {MAX_POINTS} points in all, got {points}")
        return self


class ForecastRequest(SeriesRef):
    """A forecast of one series from its stored values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "service": "checkout",
                    "metric": "disk_used_bytes",
                    "labels": {"mount": "/data"},
                    "horizon_s": 21600,
                }
            ]
        }
    )
    horizon_s: int = Field(
        21_600, ge=60, le=90 * 86_400, description="Seconds ahead: from one minute to 90 days."
    )
    levels: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.8, 0.95],
        min_length=1,
        max_length=5,
        description="Probability that the value lies in the interval, one for each interval.",
    )


class PredictFailureRequest(Request):
    """A prediction whether services will fail, from their newest features."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": ["checkout", "payments"]}]})
    services: list[Name] = Field(min_length=1, max_length=200)


class EvidenceIn(Request):
    """One observation that supports a hypothesis or contradicts it."""

    kind: Annotated[EvidenceKind, Field(strict=False)]
    source: Name = Field(
        description="Where it was observed; two observations are independent when their sources differ."
    )
    at: Moment
    text: Text = ""
    supports: bool = True
    strong: bool = True
    deviation_sigma: Number | None = Field(None, ge=-1e6, le=1e6)
    ref: Text = ""


class HypothesisIn(Request):
    """One possible cause of one incident."""

    service: Name
    cause: Annotated[CauseKind, Field(strict=False)]
    statement: Annotated[Text, Field(min_length=1, description="The cause in words.")]
    evidence: list[EvidenceIn] = Field([], max_length=MAX_EVIDENCE)
    precedents: int = Field(0, ge=0, le=1_000_000, description="How many similar incidents there were.")
    accepted: int = Field(0, ge=0, le=1_000_000)
    rejected: int = Field(0, ge=0, le=1_000_000)


class ScoreHypothesesRequest(Request):
    """The possible causes of one incident, to be scored against each other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hypotheses": [
                        {
                            "service": "checkout",
                            "cause": "deploy",
                            "statement": "bad deploy of checkout 2.3.1",
                            "evidence": [
                                {
                                    "kind": "symptom",
                                    "source": "forewarn",
                                    "at": "2026-01-31T12:03:00Z",
                                    "text": "latency_p99_seconds at 0.71",
                                    "deviation_sigma": 4.2,
                                },
                                {
                                    "kind": "deploy",
                                    "source": "argo-cd",
                                    "at": "2026-01-31T12:01:00Z",
                                    "text": "checkout 2.3.1",
                                },
                            ],
                            "precedents": 4,
                        }
                    ]
                }
            ]
        }
    )
    hypotheses: list[HypothesisIn] = Field(fail_fast=True, min_length=1, max_length=MAX_HYPOTHESES)


class EventIn(Request):
    """A deploy, a config change or a maintenance window."""

    service: Name = Field(description='The service; "*" means all services.')
    kind: Annotated[EventKind, Field(strict=False)]
    at: Moment
    until: Moment | None = None
    title: Text = ""
    version: Text = ""


class EventsRequest(Request):
    """Planned events that change what is normal. An event that is sent twice is stored once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "service": "checkout",
                            "kind": "deploy",
                            "at": "2026-01-31T12:01:00Z",
                            "version": "2.3.1",
                        }
                    ]
                }
            ]
        }
    )
    events: list[EventIn] = Field(fail_fast=True, min_length=1, max_length=1_000)


class FeedbackRequest(Request):
    """What a person says about a signal, a hypothesis or a diagnosis; the newest feedback counts.

    The form `{signal_id, real, who, note}` is the one of the previous release. It is removed in the next release.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"signal_id": "0" * 32, "value": "false_positive", "by": "ada", "note": "known load test"},
                {"subject_id": "0" * 32, "value": "accepted", "by": "ada", "note": ""},
            ]
        }
    )
    signal_id: Name | None = Field(None, description="The signal, by its id or the beginning of it.")
    subject_id: Name | None = Field(None, description="The hypothesis or the diagnosis, by its id.")
    value: Annotated[FeedbackValue, Field(strict=False)] | None = Field(
        None, description="true_positive or false_positive for a signal, else accepted or rejected."
    )
    by: Name | None = Field(None, description="Who gives the feedback.")
    note: Text = ""
    real: bool | None = Field(
        None,
        description="The old form of `value`: true is true_positive, false is false_positive.",
        json_schema_extra={"deprecated": True},
    )
    who: Name | None = Field(
        None, description="The old name of `by`.", json_schema_extra={"deprecated": True}
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.signal_id is None) == (self.subject_id is None):
            raise ValueError("should name one subject, either by signal_id or by subject_id")
        if self.real is not None:
            if self.signal_id is None or self.value is not None or self.by is not None:
                raise ValueError(
                    "should have either `value` and `by`, or the old `real` and `who` of a signal"
                )
            return self
        if self.value is None:
            raise ValueError("should have a `value`, such as true_positive or accepted")
        if self.by is None or self.who is not None:
            raise ValueError("should have `by`, the name of the person or program that gives the feedback")
        if (self.signal_id is not None) != (self.value in _SIGNAL_VALUES):
            raise ValueError(
                "should have the value true_positive or false_positive with signal_id, "
                "and accepted or rejected with subject_id"
            )
        return self

    @property
    def current_value(self) -> FeedbackValue:
        """The value, also of a request in the old form."""
        if self.value is not None:
            return self.value
        return FeedbackValue.TRUE_POSITIVE if self.real else FeedbackValue.FALSE_POSITIVE

    @property
    def deprecation(self) -> str | None:
        if self.real is None:
            return None
        return "The fields real and who are deprecated; use value (true_positive or false_positive) and by."
