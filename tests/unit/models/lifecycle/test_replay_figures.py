"""The figures of a replay, each from a few records and a truth that shows what it counts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.domain import Incident, Severity, SignalKind
from models.lifecycle.replay_figures import (
    BreachFigures,
    IncidentOutcome,
    ReplayFacts,
    ReplayFigures,
    Truth,
    replay_figures,
)
from models.lifecycle.replay_records import (
    AlertMessage,
    BreachPrediction,
    CycleRecord,
    LearningRecord,
    Record,
    RiskPrediction,
    SignalEnd,
)
from models.lifecycle.replay_words import figure_lines, outcome_lines, side_by_side

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOON = START + 12 * HOUR
OUTAGE = Incident(
    tenant="acme",
    service="checkout",
    type="memory_leak",
    severity=Severity.CRITICAL,
    start=NOON,
    end=NOON + HOUR,
)
FACTS = ReplayFacts(
    start=START,
    end=START + timedelta(days=7),
    every_s=300,
    records=(),
    truth=Truth(source="recorded incidents", incidents=(OUTAGE,)),
    edges=(("shop", "checkout"),),
    signals=3,
    named={},
    budget_per_week=5.0,
)


def alert(
    at: datetime,
    service: str = "checkout",
    *,
    alert_id: str = "a",
    metric: str = "memory",
    ended_at: datetime | None = None,
) -> AlertMessage:
    return AlertMessage(
        at=at,
        alert_id=alert_id,
        kind=SignalKind.BREACH,
        service=service,
        metric=metric,
        severity=Severity.WARNING,
        started_at=at,
        ended_at=ended_at,
        text=f"{service}: {metric}",
    )


def figures(*records: Record, truth: Truth = FACTS.truth) -> ReplayFigures:
    return replay_figures(replace(FACTS, records=records, truth=truth))


@pytest.mark.parametrize(
    ("at", "service", "is_true", "predicted", "in_time"),
    [
        (NOON - 2 * HOUR, "checkout", True, 1.0, 1.0),
        (NOON - 30 * MINUTE, "checkout", True, 1.0, 1.0),
        (NOON - 29 * MINUTE, "checkout", True, 1.0, 0.0),
        (NOON, "checkout", True, 0.0, 0.0),
        (NOON + 90 * MINUTE, "checkout", True, 0.0, 0.0),
        (NOON + 91 * MINUTE, "checkout", False, 0.0, 0.0),
        (NOON - 13 * HOUR, "checkout", False, 0.0, 0.0),
        (NOON - HOUR, "shop", True, 1.0, 1.0),
        (NOON - HOUR, "search", False, 0.0, 0.0),
    ],
    ids=["early", "just in time", "too late to act", "with it", "until it recovered", "after it", "a day before",
         "its caller", "another service"],
)  # fmt: skip
def test_an_alert_is_about_an_incident_of_its_service_or_of_a_neighbour(
    at: datetime, service: str, is_true: bool, predicted: float, in_time: float
) -> None:
    found = figures(alert(at, service))
    assert found.true_alerts == float(is_true)
    assert found.false_alerts == ([] if is_true else ["a"])
    assert (found.found, found.missed) == (float(is_true), int(not is_true))
    assert (found.predicted, found.in_time) == (predicted, in_time)
    assert found.budget_used == (0.0 if is_true else 0.2)


def test_an_alert_counts_once_however_often_it_was_sent() -> None:
    worse = replace(alert(NOON - HOUR), severity=Severity.CRITICAL)
    found = figures(alert(NOON - 2 * HOUR), worse, alert(NOON + HOUR, ended_at=NOON + HOUR))
    assert (found.alerts, found.alerts_per_week, found.median_lead_s) == (1, 1.0, 7_200.0)


@pytest.mark.parametrize(
    ("after", "metric", "flaps"),
    [(HOUR, "memory", 1), (2 * HOUR, "memory", 1), (2 * HOUR + MINUTE, "memory", 0), (HOUR, "errors", 0)],
)
def test_an_alert_flaps_if_it_begins_again_soon_after_its_end(
    after: timedelta, metric: str, flaps: int
) -> None:
    ended = alert(NOON, ended_at=NOON)
    assert figures(alert(NOON - HOUR), ended, alert(NOON + after, alert_id="b", metric=metric)).flaps == flaps


def test_a_signal_should_be_closed_within_two_cycles_of_its_end() -> None:
    ends = [
        SignalEnd(at=NOON + late * MINUTE, signal_id=str(late), ended_at=NOON) for late in (0, 10, 11, 60)
    ]
    before = SignalEnd(at=START, signal_id="before", ended_at=START - HOUR)
    found = figures(*ends, before)
    assert (found.closed_in_time, found.longest_to_close_s) == (0.5, 3_600.0)


def predicted(at: datetime, series_id: int = 1, *, signal_id: str = "s") -> BreachPrediction:
    return BreachPrediction(at=at, signal_id=signal_id, series_id=series_id, metric="disk", when=at + HOUR)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([NOON - HOUR], BreachFigures(predictions=1, true=1, breaches=1, found=1)),
        ([NOON - 3 * HOUR], BreachFigures(predictions=1, true=1, breaches=1, found=1)),
        # It was wrong when it was said first, and later it was right.
        ([NOON - 4 * HOUR, NOON - HOUR], BreachFigures(predictions=1, true=0, breaches=1, found=1)),
        ([NOON], BreachFigures(predictions=1, true=0, breaches=1, found=0)),
        ([], BreachFigures(breaches=1)),
    ],
    ids=["an hour before", "three hours before", "too early, then right", "too late", "not at all"],
)
def test_a_breach_is_predicted_within_three_hours(said: Sequence[datetime], expected: BreachFigures) -> None:
    truth = replace(FACTS.truth, breaches={"disk": {1: [NOON]}})
    found = figures(*map(predicted, said), truth=truth)
    assert found.breaches == expected
    assert found.breaches_by_metric == {"disk": expected}


def test_a_prediction_for_a_series_that_never_breached_is_wrong() -> None:
    found = figures(predicted(NOON, 7))
    assert found.breaches_by_metric == {"disk": BreachFigures(predictions=1)}
    assert (found.breaches.precision, found.breaches.recall) == (0.0, None)


def test_risks_are_compared_with_what_came_and_never_with_what_is_not_known_yet() -> None:
    risks = [
        RiskPrediction(at=at, service="checkout", probability_by_horizon_s={3_600: p})
        for at, p in ((NOON - HOUR, 0.8), (NOON - 2 * HOUR, 0.2), (FACTS.end - 30 * MINUTE, 0.9))
    ]
    (one,) = figures(*risks).calibration
    assert (one.predictions, one.mean_probability, one.failed) == (2, 0.5, 0.5)
    assert one.brier == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("first_alert", "first_threshold", "first_by"),
    [
        (NOON - HOUR, NOON, "forewarn"),
        (NOON + HOUR, NOON - MINUTE, "threshold"),
        (NOON + MINUTE, NOON + MINUTE, "people"),
        (None, None, "people"),
    ],
)
def test_who_noticed_an_incident_first(
    first_alert: datetime | None, first_threshold: datetime | None, first_by: str
) -> None:
    outcome = IncidentOutcome(
        service="checkout",
        type="outage",
        severity=Severity.WARNING,
        start=NOON,
        first_alert=first_alert,
        first_threshold=first_threshold,
    )
    assert outcome.first_by == first_by


def test_fewer_alerts_than_plain_rules_on_each_threshold() -> None:
    truth = replace(FACTS.truth, threshold_alerts=[("checkout", NOON + n * MINUTE) for n in range(4)])
    found = figures(alert(NOON - HOUR), truth=truth)
    assert (found.threshold_alerts, found.fewer_than_thresholds) == (4, 0.75)


def test_the_cost_shows_whether_later_cycles_need_more() -> None:
    cycles = [
        CycleRecord(at=START + n * MINUTE, seconds=1.0 + (n >= 10), mib=500.0 + n, incidents=0)
        for n in range(20)
    ]
    cost = figures(*cycles, LearningRecord(at=START, flow="weekly", seconds=60.0)).cost
    assert (cost.cycles, cost.seconds, cost.learning_s) == (20, 90.0, 60.0)
    assert (cost.first_cycle_s, cost.last_cycle_s, cost.first_mib, cost.last_mib) == (1.0, 2.0, 500.5, 518.5)


def test_figures_without_anything_to_count_are_no_numbers() -> None:
    nothing = figures(truth=Truth(source="SLO violations", incidents=()))
    assert (nothing.true_alerts, nothing.found, nothing.fewer_than_thresholds) == (None, None, None)
    assert dict(figure_lines(nothing))["of these on true incidents"] == "-"


def test_lines_of_two_replays_stand_side_by_side() -> None:
    one, other = figures(alert(NOON - HOUR)), figures(predicted(NOON))
    rows = {name: texts for name, *texts in side_by_side(one, other)}
    assert rows["alerts to people"] == ["1, 1.0 a week", "0, 0.0 a week"]
    assert rows["  disk"] == ["-", "precision 0 % of 1, recall - of 0"]
    ((when, service, what, noticed),) = outcome_lines(one.outcomes)
    assert (when, service, what) == ("2026-03-02 12:00 UTC", "checkout", "critical memory_leak")
    assert noticed == "alert 1 h before; first noticed by Forewarn"
