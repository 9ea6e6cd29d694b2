from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fakes.platform import advanced, platform_of
from fakes.signals import NOON, make_signal

from core.clock import FixedClock
from core.diagnosis import CauseKind, Feedback, FeedbackValue, IncidentState, PolicyDecision
from core.domain import Event, EventKind, FilterResult, Incident, Series, Severity, Signal
from core.errors import InputError, NotFoundError
from pipelines.common.tenant_platform import Platform
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.diagnose import DiagnosisReport, diagnose, move_incident

START = NOON + timedelta(hours=1)


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, FixedClock(START))


def keep(platform: Platform, *signals: Signal) -> None:
    platform.store.signals.upsert([replace(signal, tenant=platform.tenant) for signal in signals])


def deploy(platform: Platform, minute: float = -2) -> None:
    at = NOON + timedelta(minutes=minute)
    platform.store.events.add(
        [Event(tenant=platform.tenant, service="checkout", kind=EventKind.DEPLOY, at=at, version="2.3.1")]
    )


def past_incidents(platform: Platform, number: int) -> None:
    platform.store.incidents.add(
        Incident(
            tenant=platform.tenant,
            service="checkout",
            type="bad_deploy",
            severity=Severity.CRITICAL,
            start=NOON - timedelta(days=day),
            end=NOON - timedelta(days=day, hours=-1),
        )
        for day in range(1, number + 1)
    )


def two_symptoms(platform: Platform) -> None:
    keep(
        platform,
        make_signal("s1", deviation_sigma=4.0),
        make_signal("s2", minute=1, metric="errors", deviation_sigma=3.5),
    )


def steps(platform: Platform, incident_id: str) -> list[IncidentState]:
    return [step.after for step in platform.store.transitions.list(incident_id)]


def give_feedback(platform: Platform, subject_id: str, value: FeedbackValue) -> None:
    platform.store.feedback.add(
        [
            Feedback(
                tenant=platform.tenant,
                subject_id=subject_id,
                value=value,
                at=platform.clock.now(),
                by="ann",
                note="",
            )
        ]
    )


def test_a_bad_deploy_seen_before_is_named_and_acknowledged(platform: Platform) -> None:
    two_symptoms(platform)
    deploy(platform)
    past_incidents(platform, 12)
    (record,) = diagnose(platform).records
    top = record.diagnosis.top
    assert top is not None
    assert top.hypothesis.statement == "bad deploy of checkout 2.3.1"
    # .25 x .9 + .2 x .95 + .2 x .9 + .2 x .95 + .15 x .5
    assert top.confidence == pytest.approx(0.86)
    assert record.diagnosis.decision is PolicyDecision.ACKNOWLEDGE
    assert steps(platform, record.incident_id) == [IncidentState.DETECTED, IncidentState.ACKNOWLEDGED]


def test_a_second_run_gives_the_same_diagnoses_and_stores_nothing(platform: Platform) -> None:
    two_symptoms(platform)
    first = diagnose(platform)
    again = diagnose(advanced(platform, minutes=5))
    assert (first.new, again.new) == (1, 0)
    assert again.diagnoses == first.diagnoses
    assert len(platform.store.diagnoses.list()) == 1


def test_an_incident_that_grows_keeps_its_id(platform: Platform) -> None:
    keep(platform, make_signal("s1", deviation_sigma=4.0))
    (before,) = diagnose(platform).records
    keep(platform, make_signal("s0", minute=-5, metric="errors", deviation_sigma=3.0))
    (after,) = diagnose(advanced(platform, minutes=5)).records
    assert after.incident_id == before.incident_id
    assert after.signal_ids == ("s0", "s1")
    assert len(platform.store.diagnoses.list(incident_id=before.incident_id)) == 2


def test_suppressed_ended_and_false_signals_make_no_incident(platform: Platform) -> None:
    failed = FilterResult(name="impact", passed=False, reason="no user notices")
    keep(
        platform,
        make_signal("suppressed", filters=(failed,)),
        make_signal("ended", service="web", ended_at=NOON + timedelta(minutes=9)),
        make_signal("false", service="search"),
    )
    give_feedback(platform, "false", FeedbackValue.FALSE_POSITIVE)
    assert diagnose(platform) == DiagnosisReport(records=(), new=0)


def test_later_data_do_not_change_an_earlier_diagnosis(platform: Platform) -> None:
    two_symptoms(platform)
    keep(platform, make_signal("ended", minute=2, ended_at=NOON + timedelta(minutes=30)))
    at = NOON + timedelta(minutes=2)
    now = diagnose(platform, at=at)
    deploy(platform, minute=3)
    keep(platform, make_signal("later", minute=10))
    again = diagnose(platform, at=at)
    assert again.records == now.records


def test_a_weak_incident_is_inconclusive_and_only_a_new_signal_opens_another_one(
    platform: Platform,
) -> None:
    keep(platform, make_signal("weak", deviation_sigma=0.5))
    (record,) = diagnose(platform).records
    assert record.diagnosis.decision is PolicyDecision.INCONCLUSIVE
    assert steps(platform, record.incident_id)[-1] is IncidentState.INCONCLUSIVE
    (same,) = diagnose(advanced(platform, minutes=5)).records
    assert same.incident_id == record.incident_id
    keep(platform, make_signal("strong", minute=6, deviation_sigma=5.0))
    (other,) = diagnose(advanced(platform, minutes=10)).records
    assert other.incident_id != record.incident_id
    assert steps(platform, other.incident_id) == [IncidentState.DETECTED]
    (stays,) = diagnose(advanced(platform, minutes=15)).records
    assert stays.incident_id == other.incident_id


def test_feedback_on_past_diagnoses_counts(platform: Platform) -> None:
    two_symptoms(platform)
    deploy(platform)
    (record,) = diagnose(platform).records
    top = record.diagnosis.top
    assert top is not None
    give_feedback(platform, record.diagnosis_id, FeedbackValue.ACCEPTED)
    give_feedback(platform, top.hypothesis.hypothesis_id, FeedbackValue.FALSE_POSITIVE)
    later = advanced(platform, minutes=5)
    (again,) = diagnose(later).records
    top = again.diagnosis.top
    assert top is not None
    assert top.hypothesis.cause is CauseKind.DEPLOY
    assert (top.hypothesis.accepted, top.hypothesis.rejected) == (1, 1)


def test_the_graph_is_read_from_the_series(platform: Platform) -> None:
    platform.store.series.register(
        [Series(tenant=platform.tenant, service="web", metric="rps", labels={"depends_on": "db"})]
    )
    keep(platform, make_signal("a", "web", 2), make_signal("b", "db", 0))
    (record,) = diagnose(platform).records
    assert record.service == "db"
    assert record.diagnosis.ranked[0].hypothesis.statement == "db degraded, which affects web"


def test_an_incident_makes_only_the_allowed_transitions(platform: Platform) -> None:
    two_symptoms(platform)
    (record,) = diagnose(platform).records
    incident_id = record.incident_id
    with pytest.raises(InputError, match="cannot change from detected to resolved"):
        move_incident(platform, incident_id, IncidentState.RESOLVED, by="ann")
    for state in ("acknowledged", "investigating", "mitigated", "resolved", "learned"):
        move_incident(platform, incident_id, IncidentState(state), by="ann", reason="as agreed")
    assert steps(platform, incident_id)[-1] is IncidentState.LEARNED
    with pytest.raises(NotFoundError, match="no incident"):
        move_incident(platform, "unknown", IncidentState.ACKNOWLEDGED, by="ann")


@pytest.mark.parametrize("rewrite", ["UPDATE transitions SET reason = 'x'", "DELETE FROM transitions"])
def test_the_log_of_an_incident_cannot_be_rewritten(platform: Platform, pool: Pool, rewrite: str) -> None:
    two_symptoms(platform)
    diagnose(platform)
    with pool.connection() as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(rewrite)


def test_a_tenant_diagnoses_only_its_own_incidents(platform: Platform, pool: Pool) -> None:
    two_symptoms(platform)
    other = platform_of(Store(pool, platform.tenant[:40] + "_other"), platform.clock)
    assert diagnose(other).records == ()


def test_the_surest_diagnosis_comes_first_and_progress_is_reported(platform: Platform) -> None:
    calls: list[tuple[Any, ...]] = []
    keep(platform, make_signal("weak", "web", deviation_sigma=1.0), make_signal("sure", deviation_sigma=9.0))
    report = diagnose(platform, progress=lambda *step: calls.append(step))
    assert [record.signal_ids for record in report.records] == [("sure",), ("weak",)]
    assert calls[-1][1:] == (2, 2)
