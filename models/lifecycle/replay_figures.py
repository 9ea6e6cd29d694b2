"""The figures of a replay: what people would have been told, against what happened.

`docs/glossary.md` defines each figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TypeVar

from core.domain import Incident, ServiceEdges, Severity
from models.lifecycle.event_matching import is_in_time
from models.lifecycle.replay_records import (
    AlertMessage,
    BreachPrediction,
    CycleRecord,
    LearningRecord,
    Record,
    RiskPrediction,
    SignalEnd,
)

R = TypeVar("R", bound=Record)

#: A breach counts as predicted if it was expected within this time.
SOON = timedelta(hours=3)
#: With less warning, people cannot act in time.
TO_ACT = timedelta(minutes=30)
#: An alert that begins again so soon after the last one of its metric ended was not over: it flaps.
FLAPS_WITHIN = timedelta(hours=2)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What happened in the time of a replay.

    Attributes:
        source: where the incidents are from: "recorded incidents", or "SLO violations" where none were recorded.
        breaches: metric -> series id -> when it crossed its threshold.
        threshold_alerts: service and time of each alert that a plain rule on each threshold would have sent.
    """

    source: str
    incidents: Sequence[Incident]
    breaches: Mapping[str, Mapping[int, Sequence[datetime]]] = field(default_factory=dict)
    threshold_alerts: Sequence[tuple[str, datetime]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOutcome:
    """A true incident, and who noticed it when.

    Attributes:
        first_alert: the first alert about it; null: it was missed.
        first_threshold: the first alert of a plain threshold rule.
        named: place of the first hypothesis that names its service; null: none of those shown does.
    """

    service: str
    type: str
    severity: Severity
    start: datetime
    first_alert: datetime | None
    first_threshold: datetime | None
    named: int | None = None

    @property
    def lead_s(self) -> float | None:
        """Seconds from the first alert to the incident; negative: the alert came later."""
        return None if self.first_alert is None else (self.start - self.first_alert).total_seconds()

    @property
    def first_by(self) -> str:
        """forewarn, threshold or people; users notice an incident at its start."""
        known = {"forewarn": self.first_alert, "threshold": self.first_threshold, "people": self.start}
        return min((at, name) for name, at in known.items() if at is not None)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachFigures:
    """Breaches of one metric that were predicted within `SOON`.

    Attributes:
        predictions, true: how many signals expected one, and how many of these were right.
        breaches, found: how many there were, and how many of these were predicted.
    """

    predictions: int = 0
    true: int = 0
    breaches: int = 0
    found: int = 0

    @property
    def precision(self) -> float | None:
        return self.true / self.predictions if self.predictions else None

    @property
    def recall(self) -> float | None:
        return self.found / self.breaches if self.breaches else None

    def __add__(self, other: "BreachFigures") -> "BreachFigures":
        return BreachFigures(
            predictions=self.predictions + other.predictions,
            true=self.true + other.true,
            breaches=self.breaches + other.breaches,
            found=self.found + other.found,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well the failure risks of one horizon fit: mean probability, share that failed, and Brier score."""

    horizon_s: int
    predictions: int
    mean_probability: float
    failed: float
    brier: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCost:
    """What the replay took: seconds of all, and of a cycle; MiB after a cycle.

    Attributes:
        first_cycle_s, last_cycle_s: median over the first and the last tenth of the cycles; so are the MiB.
    """

    cycles: int
    seconds: float
    learning_s: float
    cycle_s: float
    first_cycle_s: float
    last_cycle_s: float
    first_mib: float
    last_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFigures:
    """All figures; see the glossary. A figure that has no denominator is null.

    Attributes:
        closed_in_time: share of ended signals that were closed within two cycles of their end.
        longest_to_close_s: from the end of a signal to the cycle that closed it.
        missed: incidents of severity warning or above without any alert.
        budget_used: false alarms a week, as a share of the alert budget.
        named_first, named_in_three: share of the incidents that were found whose service is that of the first
            hypothesis, or of one of the first three.
        false_alerts: ids of the alerts that are about no true incident.
    """

    truth: str
    weeks: float
    alerts: int
    alerts_per_week: float
    signals_per_week: float
    true_alerts: float | None
    incidents: int
    found: float | None
    missed: int
    predicted: float | None
    in_time: float | None
    median_lead_s: float | None
    threshold_alerts: int
    fewer_than_thresholds: float | None
    flaps: int
    closed_in_time: float | None
    longest_to_close_s: float | None
    budget_used: float
    breaches: BreachFigures
    breaches_by_metric: Mapping[str, BreachFigures]
    calibration: Sequence[Calibration]
    named_first: float | None
    named_in_three: float | None
    outcomes: Sequence[IncidentOutcome]
    false_alerts: Sequence[str]
    cost: ReplayCost


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFacts:
    """What the figures are computed from.

    Attributes:
        signals: how many passed the filters.
        named: incident id of a true incident -> place of the first hypothesis that names its service.
        budget_per_week: the alert budget.
    """

    start: datetime
    end: datetime
    every_s: int
    records: Sequence[Record]
    truth: Truth
    edges: ServiceEdges
    signals: int
    named: Mapping[str, int]
    budget_per_week: float


def replay_figures(facts: ReplayFacts) -> ReplayFigures:
    """All figures of a replay that has run up to `facts.end`."""
    truth, weeks = facts.truth, (facts.end - facts.start) / _WEEK
    messages = _of(facts.records, AlertMessage)
    begins = first_messages(messages)
    near = _neighbours(facts.edges)
    outcomes = [_outcome(one, begins, facts, near) for one in truth.incidents]
    about = [any(_is_about(one, incident, near) for incident in truth.incidents) for one in begins]
    leads = [one.lead_s for one in outcomes if one.lead_s is not None]
    found = [one for one in outcomes if one.first_alert is not None]
    by_metric = _breaches(_of(facts.records, BreachPrediction), truth.breaches)
    # What had ended before the first cycle could not be closed in time by any.
    ended = [one for one in _of(facts.records, SignalEnd) if one.ended_at >= facts.start]
    ends = [(one.at - one.ended_at).total_seconds() for one in ended]
    rules = len(truth.threshold_alerts)
    return ReplayFigures(
        truth=truth.source,
        weeks=weeks,
        alerts=len(begins),
        alerts_per_week=len(begins) / weeks,
        signals_per_week=facts.signals / weeks,
        true_alerts=_share(about),
        incidents=len(outcomes),
        found=_share([one.first_alert is not None for one in outcomes]),
        missed=sum(
            one.first_alert is None and one.severity.rank >= Severity.WARNING.rank for one in outcomes
        ),
        predicted=_share([(one.lead_s or 0) > 0 for one in outcomes]),
        in_time=_share([(one.lead_s or 0) >= TO_ACT.total_seconds() for one in outcomes]),
        median_lead_s=median(leads) if leads else None,
        threshold_alerts=rules,
        fewer_than_thresholds=1 - len(begins) / rules if rules else None,
        flaps=_flaps(messages, begins),
        closed_in_time=_share([one <= 2 * facts.every_s for one in ends]),
        longest_to_close_s=max(ends, default=None),
        budget_used=(len(about) - sum(about)) / weeks / facts.budget_per_week,
        breaches=sum(by_metric.values(), BreachFigures()),
        breaches_by_metric=by_metric,
        calibration=_calibration(_of(facts.records, RiskPrediction), truth.incidents, facts.end),
        named_first=_share([one.named == 1 for one in found]),
        named_in_three=_share([one.named is not None and one.named <= 3 for one in found]),
        outcomes=outcomes,
        false_alerts=[one.alert_id for one, is_true in zip(begins, about, strict=True) if not is_true],
        cost=_cost(_of(facts.records, CycleRecord), _of(facts.records, LearningRecord)),
    )


def first_messages(messages: Iterable[AlertMessage]) -> list[AlertMessage]:
    """The message that began each alert; escalations and ends are left out."""
    first: dict[str, AlertMessage] = {}
    for one in messages:
        first.setdefault(one.alert_id, one)
    return list(first.values())


def _of(records: Iterable[Record], kind: type[R]) -> list[R]:
    return [one for one in records if isinstance(one, kind)]


def _neighbours(edges: ServiceEdges) -> set[tuple[str, str]]:
    """Pairs of services of which one calls the other, in both orders."""
    return {*edges, *((callee, caller) for caller, callee in edges)}


def _is_about(alert: AlertMessage, incident: Incident, near: set[tuple[str, str]]) -> bool:
    """Whether an alert is about an incident of its service, or of one that calls it or is called by it."""
    is_near = alert.service == incident.service or (alert.service, incident.service) in near
    return is_near and is_in_time(alert.at, incident)


def _outcome(
    incident: Incident, begins: Sequence[AlertMessage], facts: ReplayFacts, near: set[tuple[str, str]]
) -> IncidentOutcome:
    alerts = [one.at for one in begins if _is_about(one, incident, near)]
    rules = [
        at
        for service, at in facts.truth.threshold_alerts
        if service == incident.service and is_in_time(at, incident)
    ]
    return IncidentOutcome(
        service=incident.service,
        type=incident.type,
        severity=incident.severity,
        start=incident.start,
        first_alert=min(alerts, default=None),
        first_threshold=min(rules, default=None),
        named=facts.named.get(incident.incident_id),
    )


def _share(are: Sequence[bool]) -> float | None:
    return sum(are) / len(are) if are else None


def _flaps(messages: Sequence[AlertMessage], begins: Sequence[AlertMessage]) -> int:
    """Alerts that begin soon after the end of another one about the same metric of the same service."""
    ended: dict[tuple[str, str | None], list[datetime]] = {}
    for one in messages:
        if one.ended_at is not None:
            ended.setdefault((one.service, one.metric), []).append(one.at)
    return sum(
        any(at < one.at <= at + FLAPS_WITHIN for at in ended.get((one.service, one.metric), ()))
        for one in begins
    )


def _breaches(
    predictions: Sequence[BreachPrediction], breaches: Mapping[str, Mapping[int, Sequence[datetime]]]
) -> dict[str, BreachFigures]:
    metric_of = {key: metric for metric, series in breaches.items() for key in series}
    times = {key: at for series in breaches.values() for key, at in series.items()}
    found: dict[str, BreachFigures] = {}
    said: set[str] = set()
    for one in predictions:
        if one.signal_id in said:
            continue
        said.add(one.signal_id)
        is_true = any(one.at < at <= one.at + SOON for at in times.get(one.series_id, ()))
        metric = metric_of.get(one.series_id, one.metric)
        found[metric] = found.get(metric, BreachFigures()) + BreachFigures(predictions=1, true=int(is_true))
    by_series: dict[int, list[datetime]] = {}
    for one in predictions:
        by_series.setdefault(one.series_id, []).append(one.at)
    for metric, series in breaches.items():
        every = [
            any(said_at < at <= said_at + SOON for said_at in by_series.get(key, ()))
            for key, all_at in series.items()
            for at in all_at
        ]
        figures = BreachFigures(breaches=len(every), found=sum(every))
        found[metric] = found.get(metric, BreachFigures()) + figures
    return {metric: one for metric, one in sorted(found.items()) if one != BreachFigures()}


def _calibration(
    risks: Sequence[RiskPrediction], incidents: Sequence[Incident], end: datetime
) -> list[Calibration]:
    starts: dict[str, list[datetime]] = {}
    for incident in incidents:
        starts.setdefault(incident.service, []).append(incident.start)
    by_horizon: dict[int, list[tuple[float, bool]]] = {}
    for one in risks:
        for horizon_s, probability in one.probability_by_horizon_s.items():
            until = one.at + timedelta(seconds=horizon_s)
            if until <= end:  # what came later is not known
                failed = any(one.at < at <= until for at in starts.get(one.service, ()))
                by_horizon.setdefault(horizon_s, []).append((probability, failed))
    return [
        Calibration(
            horizon_s=horizon_s,
            predictions=len(pairs),
            mean_probability=sum(probability for probability, _ in pairs) / len(pairs),
            failed=sum(failed for _, failed in pairs) / len(pairs),
            brier=sum((probability - failed) ** 2 for probability, failed in pairs) / len(pairs),
        )
        for horizon_s, pairs in sorted(by_horizon.items())
    ]


def _cost(cycles: Sequence[CycleRecord], learning: Sequence[LearningRecord]) -> ReplayCost:
    tenth = max(1, len(cycles) // 10)
    first, last = cycles[:tenth], cycles[-tenth:]
    learning_s = sum(one.seconds for one in learning)
    return ReplayCost(
        cycles=len(cycles),
        seconds=learning_s + sum(one.seconds for one in cycles),
        learning_s=learning_s,
        cycle_s=_median([one.seconds for one in cycles]),
        first_cycle_s=_median([one.seconds for one in first]),
        last_cycle_s=_median([one.seconds for one in last]),
        first_mib=_median([one.mib for one in first]),
        last_mib=_median([one.mib for one in last]),
    )


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
