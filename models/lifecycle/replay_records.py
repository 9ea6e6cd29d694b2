"""What a replay writes down while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.domain import Severity, SignalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """A message to people, about an incident as one signal.

    Attributes:
        at: the moment of the cycle that sent it.
        alert_id: of the alert that began, escalated or ended.
        text: what people read.
    """

    type: Literal["alert"] = "alert"
    at: datetime
    alert_id: str
    kind: SignalKind
    service: str
    metric: str | None
    severity: Severity
    started_at: datetime
    ended_at: datetime | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalEnd:
    """The end of a signal, as programs receive it.

    Attributes:
        at: the moment of the cycle that found it.
        ended_at: when the signal ended.
    """

    type: Literal["end"] = "end"
    at: datetime
    signal_id: str
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachPrediction:
    """An open signal that expects its breach within `models.lifecycle.replay_figures.SOON`: at first, then hourly.

    Attributes:
        when: the median of the expected time.
    """

    type: Literal["breach"] = "breach"
    at: datetime
    signal_id: str
    series_id: int
    metric: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPrediction:
    """The failure risk of a service at a moment.

    Attributes:
        probability_by_horizon_s: seconds -> probability that the service fails within them.
    """

    type: Literal["risk"] = "risk"
    at: datetime
    service: str
    probability_by_horizon_s: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """A cycle and what it took.

    Attributes:
        seconds: of all its steps.
        mib: memory of this process and its workers after it.
        incidents: how many incidents were open.
    """

    type: Literal["cycle"] = "cycle"
    at: datetime
    seconds: float
    mib: float
    incidents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRecord:
    """Nightly or weekly work and what it took."""

    type: Literal["learning"] = "learning"
    at: datetime
    flow: str
    seconds: float


Record = AlertMessage | SignalEnd | BreachPrediction | RiskPrediction | CycleRecord | LearningRecord
