"""What may be sent: strict types, no unknown fields, no NaN; each with an example for the API docs.

Nothing is coerced: a number in quotes is refused, and so is a time without a zone. What these types cannot
know (that a series exists, that a time lies in the future) is checked where the answer is made.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    StringConstraints,
    model_validator,
)

from core.diagnosis import CauseKind, EvidenceKind
from core.domain import EventKind

#: What one request may hold; beyond that, several requests answer sooner than one.
MAX_OBSERVATIONS = 1_000
MAX_SERIES = 2_000
MAX_POINTS = 50_000
MAX_HYPOTHESES = 100
MAX_EVIDENCE = 100
#: Infrastructure metrics are younger; and far enough from the edges of what a datetime can hold in any zone.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def _require_iso(value: Any) -> Any:
    # Pydantic reads a number, quoted or not, as seconds since 1970, and a date alone as midnight.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value)):
        return value
    raise ValueError("should be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z")


def _to_utc(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("should lie between the years 2000 and 2200")
    return moment.astimezone(UTC)


#: An ISO 8601 time with a zone, brought to UTC.
Moment = Annotated[AwareDatetime, BeforeValidator(_require_iso), AfterValidator(_to_utc), Field(strict=False)]
#: A name as it is stored; PostgreSQL texts hold no NUL.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")]
Labels = Annotated[
    dict[Name, Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]],
    Field(max_length=50),
]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Request(BaseModel):
    """Base of everything that may be sent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class SeriesRef(Request):
    """A series, by its `series_id` or by service, metric and labels."""

    series_id: int | None = Field(None, ge=0, lt=2**63, description="Its id; then no name is needed.")
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
    """One value or several, of one series or several, to be judged now."""

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
    observations: list[Observation] = Field(min_length=1, max_length=MAX_OBSERVATIONS)


class SeriesPoints(SeriesRef):
    """A stretch of one series."""

    points: list[Point] = Field(min_length=1, max_length=MAX_POINTS)


class DetectBatchRequest(Request):
    """Stretches of many series at once."""

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
    series: list[SeriesPoints] = Field(min_length=1, max_length=MAX_SERIES)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        points = sum(len(one.points) for one in self.series)
        if points > MAX_POINTS:
            raise ValueError(f"should hold at most {MAX_POINTS} points in all, got {points}")
        return self


class ForecastRequest(SeriesRef):
    """How one series will go on from what is stored of it."""

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
        [0.8, 0.95], min_length=1, max_length=5, description="Probability that each interval holds."
    )


class PredictFailureRequest(Request):
    """Whether services will fail; from their newest features online."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": ["checkout", "payments"]}]})
    services: list[Name] = Field(min_length=1, max_length=200)


class EvidenceIn(Request):
    """One observation for a hypothesis, or against it."""

    kind: Annotated[EvidenceKind, Field(strict=False)]
    source: Name = Field(description="What saw it; two pieces are independent when their sources differ.")
    at: Moment
    text: Text = ""
    supports: bool = True
    strong: bool = True
    deviation_sigma: Number | None = Field(None, ge=-1e6, le=1e6)
    ref: Text = ""


class HypothesisIn(Request):
    """One possible cause of one trouble."""

    service: Name
    cause: Annotated[CauseKind, Field(strict=False)]
    statement: Annotated[Name, Field(description="The cause in words.")]
    evidence: list[EvidenceIn] = Field([], max_length=MAX_EVIDENCE)
    precedents: int = Field(0, ge=0, le=1_000_000, description="How many past incidents were like it.")
    accepted: int = Field(0, ge=0, le=1_000_000)
    rejected: int = Field(0, ge=0, le=1_000_000)


class ScoreHypothesesRequest(Request):
    """The possible causes of one trouble, to be weighed against each other."""

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
    hypotheses: list[HypothesisIn] = Field(min_length=1, max_length=MAX_HYPOTHESES)


class EventIn(Request):
    """A deploy, a config change or a maintenance window."""

    service: Name = Field(description='Which service; "*" means all.')
    kind: Annotated[EventKind, Field(strict=False)]
    at: Moment
    until: Moment | None = None
    title: Text = ""
    version: Text = ""


class EventsRequest(Request):
    """Planned things that change what is normal; sending one twice makes one."""

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
    events: list[EventIn] = Field(min_length=1, max_length=1_000)


class DeploysWebhook(RootModel[JsonValue]):
    """What a deploy tool posts: GitHub's `deployment_status`, or events in our plain form, one or a list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"service": "checkout", "at": "2026-01-31T12:01:00Z", "version": "2.3.1", "kind": "deploy"}
            ]
        }
    )


class RemoteWrite(RootModel[bytes]):
    """A WriteRequest of Prometheus, as protobuf compressed with snappy."""


class AlertsWebhook(RootModel[JsonValue]):
    """What Alertmanager posts; each alert that is not one of ours is kept as an incident to learn from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "alerts": [
                        {
                            "status": "firing",
                            "labels": {
                                "alertname": "HighErrorRate",
                                "service": "checkout",
                                "severity": "critical",
                            },
                            "startsAt": "2026-01-31T12:05:00Z",
                        }
                    ]
                }
            ]
        }
    )


class FeedbackRequest(Request):
    """What a person says of a signal; the newest word counts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"signal_id": "0" * 32, "real": False, "who": "ada", "note": "known load test"}]
        }
    )
    signal_id: Name
    real: bool = Field(description="Whether it was real trouble.")
    who: Text = ""
    note: Text = ""
