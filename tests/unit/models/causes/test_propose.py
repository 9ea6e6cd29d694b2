from datetime import timedelta
from typing import Any

import pytest
from fakes.signals import NOON, make_signal

from core.diagnosis import CauseKind, Hypothesis
from core.domain import (
    Band,
    Breach,
    Event,
    EventKind,
    FailureRisk,
    Incident,
    Role,
    Severity,
    Signal,
    SignalKind,
)
from models.causes.incidents import correlate
from models.causes.propose import IncidentContext, propose_hypotheses, strength_sigma
from models.causes.score import score_hypotheses

EDGES = (("web", "checkout"), ("checkout", "orders-db"))
ABOVE: dict[str, Any] = {"value": 9.0, "band": Band(expected=2, lower=1, upper=3), "deviation_sigma": 4.0}


def event(minute: float, service: str = "checkout", kind: EventKind = EventKind.DEPLOY) -> Event:
    at = NOON + timedelta(minutes=minute)
    return Event(tenant="t", service=service, kind=kind, at=at, version="2.3.1")


def incident(kind: str, service: str = "checkout", days: float = -3) -> Incident:
    start = NOON + timedelta(days=days)
    return Incident(tenant="t", service=service, type=kind, severity=Severity.WARNING, start=start)


def breach(metric: str, service: str = "orders-db", **rest: Any) -> Signal:
    foreseen = Breach(threshold=1.0, probability=0.96, horizon_s=86_400, when=None)
    return make_signal(
        f"{service}-{metric}", service, kind=SignalKind.BREACH, metric=metric, breach=foreseen, **rest
    )


def found(signals: list[Signal], **context: Any) -> dict[str, Hypothesis]:
    (trouble,) = correlate(signals, context.get("edges", ()))
    return {one.statement: one for one in propose_hypotheses(trouble, IncidentContext(**context))}


def test_a_deploy_just_before_a_symptom_is_suspected_and_leads() -> None:
    (trouble,) = correlate([make_signal(**ABOVE), make_signal("s2", minute=3, metric="errors", **ABOVE)])
    context = IncidentContext(
        events=[event(-2)], feedback={CauseKind.DEPLOY: (8, 2)}, incidents=[incident("bad_deploy")] * 3
    )
    judgement = score_hypotheses(propose_hypotheses(trouble, context))
    assert judgement.top is not None
    assert judgement.top.hypothesis.statement == "bad deploy of checkout 2.3.1"
    assert judgement.top.confidence == pytest.approx(0.225 + 0.19 + 0.14 + 0.19 + 0.12)


@pytest.mark.parametrize(
    "change",
    [
        event(-121),
        event(6),
        event(-2, service="search"),
        event(-2, service="web"),
        event(-2, kind=EventKind.MAINTENANCE),
    ],
)
def test_changes_too_early_too_late_elsewhere_or_of_a_caller_are_not_suspected(change: Event) -> None:
    assert list(found([make_signal()], events=[change], edges=EDGES)) == ["fault in checkout itself"]


@pytest.mark.parametrize("service", ["orders-db", "*"])
def test_a_change_of_what_a_service_calls_or_of_everything_is_suspected(service: str) -> None:
    change = event(-2, service, EventKind.CONFIG_CHANGE)
    causes = {one.cause for one in found([make_signal()], events=[change], edges=EDGES).values()}
    assert CauseKind.CONFIG_CHANGE in causes


def test_a_symptom_from_before_a_deploy_contradicts_it() -> None:
    signals = [make_signal("old", minute=-4), make_signal("new", minute=2, metric="errors")]
    suspected = found(signals, events=[event(0)])["bad deploy of checkout 2.3.1"]
    assert {piece.ref: piece.supports for piece in suspected.evidence if piece.ref in ("old", "new")} == {
        "old": False,
        "new": True,
    }
    assert suspected.conflicting


@pytest.mark.parametrize(
    ("metric", "statement"),
    [
        ("disk_used_bytes", "disk of orders-db filling"),
        ("memory_used_bytes", "memory of orders-db growing"),
        ("pool_in_use", "connections of orders-db running out"),
        ("queue_depth", "queue of orders-db growing"),
        ("open_fds", "file descriptors of orders-db running out"),
    ],
)
def test_a_resource_that_runs_out_is_named(metric: str, statement: str) -> None:
    assert list(found([breach(metric)])) == [statement]


def test_a_failure_risk_of_the_same_kind_and_what_followed_support_a_filling_disk() -> None:
    risk = FailureRisk(probability_by_horizon_s={3600: 0.9}, when=None, likely_type="disk_full")
    signals = [
        make_signal("before", "orders-db", -3, metric="cpu"),
        breach("disk_used_bytes", minute=0),
        make_signal("risk", "orders-db", 1, kind=SignalKind.FAILURE_RISK, metric=None, risk=risk),
        make_signal("felt", "checkout", 5, **ABOVE),
    ]
    disk = found(signals, edges=EDGES)["disk of orders-db filling"]
    assert [piece.ref for piece in disk.evidence] == ["orders-db-disk_used_bytes", "risk", "felt"]


def test_more_traffic_than_expected_is_a_surge_and_less_is_not() -> None:
    surge = make_signal(series_id=7, metric="calls", **ABOVE)
    assert list(found([surge], roles={7: Role.TRAFFIC})) == ["traffic surge at checkout"]
    drop = make_signal(series_id=7, metric="calls", value=0.1, band=ABOVE["band"])
    assert list(found([drop], roles={7: Role.TRAFFIC})) == ["fault in checkout itself"]
    by_name = make_signal(metric="requests_per_s", **ABOVE)
    assert list(found([by_name])) == ["traffic surge at checkout"]


def test_silence_is_named_as_such_and_is_certain() -> None:
    silent = make_signal(kind=SignalKind.MISSING, metric=None)
    (hypothesis,) = found([silent]).values()
    assert hypothesis.cause is CauseKind.SILENCE
    assert hypothesis.evidence[0].strong


def test_a_degraded_dependency_is_named_with_those_who_feel_it() -> None:
    signals = [make_signal("db", "orders-db", 0), make_signal("c", "checkout", 2), make_signal("w", "web", 4)]
    hypotheses = found(signals, edges=EDGES)
    dependency = hypotheses["orders-db degraded, which affects checkout, web"]
    assert not dependency.conflicting


def test_a_caller_that_suffered_long_before_contradicts_the_dependency() -> None:
    signals = [make_signal("c", "checkout", 0), make_signal("db", "orders-db", 20)]
    assert found(signals, edges=EDGES)["orders-db degraded, which affects checkout"].conflicting


def test_a_fault_has_the_name_that_the_failure_model_gives_it() -> None:
    risk = FailureRisk(probability_by_horizon_s={3600: 0.9}, when=None, likely_type="latency_creep")
    signal = make_signal(kind=SignalKind.FAILURE_RISK, risk=risk)
    (fault,) = found([signal], incidents=[incident("latency_creep"), incident("other")]).values()
    assert (fault.statement, fault.precedents) == ("latency creep at checkout", 1)


def test_precedents_are_of_the_same_service_the_same_kind_and_the_past() -> None:
    incidents = [
        incident("disk_full", "orders-db"),
        incident("disk_full", "orders-db", days=-30),
        incident("disk_full", "search"),
        incident("bad_deploy", "orders-db"),
        incident("disk_full", "orders-db", days=0),
        incident("disk_full", "orders-db", days=1),
    ]
    (disk,) = found([breach("disk_used_bytes")], incidents=incidents).values()
    assert disk.precedents == 2


def test_a_nameless_fault_has_precedents_of_no_known_kind_only() -> None:
    incidents = [incident("strange"), incident("bad_deploy"), incident("disk_full")]
    (fault,) = found([make_signal()], incidents=incidents).values()
    assert fault.precedents == 1


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (make_signal(deviation_sigma=-2.5), -2.5),
        (make_signal(p_value=0.0455), 2.0),
        (make_signal(), None),
        (breach("disk"), 2.05),
        (
            make_signal(
                kind=SignalKind.FAILURE_RISK,
                risk=FailureRisk(
                    probability_by_horizon_s={60: 0.1, 600: 0.6827}, when=None, likely_type=None
                ),
            ),
            1.0,
        ),
    ],
)
def test_the_strength_of_any_signal_is_told_in_sigma(signal: Signal, expected: float | None) -> None:
    assert strength_sigma(signal) == (None if expected is None else pytest.approx(expected, abs=0.01))


def test_the_order_of_what_is_known_does_not_matter() -> None:
    signals = [make_signal("a"), make_signal("b", minute=1, metric="errors"), breach("disk_used", "checkout")]
    events = [event(-1), event(-3, kind=EventKind.CONFIG_CHANGE)]
    one = propose_hypotheses(correlate(signals)[0], IncidentContext(events=events))
    other = propose_hypotheses(correlate(signals[::-1])[0], IncidentContext(events=events[::-1]))
    assert one == other


def test_a_fault_of_the_service_itself_names_the_resource_that_deviates_most() -> None:
    busy = make_signal("s2", minute=1, metric="cpu_usage", **ABOVE | {"deviation_sigma": 40.0})
    (statement,) = found([make_signal(metric="cache_age", **ABOVE), busy])
    assert statement == "cpu of checkout: checkout/cpu_usage 40.0 times the usual variation above normal"
