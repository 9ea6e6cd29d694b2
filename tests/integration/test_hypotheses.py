from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fakes.platform import FakePlatform
from fakes.signals import NOON, make_signal

from core.diagnosis import Cause, Decision, Feedback, IncidentState
from core.domain import Event, EventKind, GateResult, Incident, Series, Severity, Signal
from core.errors import InputError, NotFoundError
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.diagnose import HypothesisReport, move_case, score_hypotheses


@pytest.fixture
def platform(store: Store) -> FakePlatform:
    return FakePlatform(store=store)


def keep(platform: FakePlatform, *signals: Signal) -> None:
    platform.store.signals.upsert([replace(signal, tenant=platform.tenant) for signal in signals])


def deploy(platform: FakePlatform, minute: float = -2) -> None:
    at = NOON + timedelta(minutes=minute)
    platform.store.events.add(
        [Event(tenant=platform.tenant, service="checkout", kind=EventKind.DEPLOY, at=at, version="2.3.1")]
    )


def past_incidents(platform: FakePlatform, number: int) -> None:
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


def two_symptoms(platform: FakePlatform) -> None:
    keep(
        platform,
        make_signal("s1", deviation_sigma=4.0),
        make_signal("s2", minute=1, metric="errors", deviation_sigma=3.5),
    )


def steps(platform: FakePlatform, case_id: str) -> list[IncidentState]:
    return [step.after for step in platform.store.transitions.list(case_id)]


def say(platform: FakePlatform, subject_id: str, accepted: bool) -> None:
    platform.store.feedback.add(
        [Feedback(tenant=platform.tenant, subject_id=subject_id, accepted=accepted, at=platform.clock.now())]
    )


def test_a_bad_deploy_seen_before_is_named_and_acknowledged(platform: FakePlatform) -> None:
    two_symptoms(platform)
    deploy(platform)
    past_incidents(platform, 12)
    (verdict,) = score_hypotheses(platform).verdicts
    top = verdict.judgement.top
    assert top is not None
    assert top.hypothesis.statement == "bad deploy of checkout 2.3.1"
    # .25 x .9 + .2 x .95 + .2 x .9 + .2 x .95 + .15 x .5
    assert top.confidence == pytest.approx(0.86)
    assert verdict.judgement.decision is Decision.ACKNOWLEDGE
    assert steps(platform, verdict.case_id) == [IncidentState.DETECTED, IncidentState.ACKNOWLEDGED]


def test_scoring_again_says_and_keeps_the_same(platform: FakePlatform) -> None:
    two_symptoms(platform)
    first = score_hypotheses(platform)
    again = score_hypotheses(platform.later(minutes=5))
    assert (first.new, again.new) == (1, 0)
    assert again.judgements == first.judgements
    assert len(platform.store.verdicts.list()) == 1


def test_a_case_that_grows_stays_the_same_case(platform: FakePlatform) -> None:
    keep(platform, make_signal("s1", deviation_sigma=4.0))
    (before,) = score_hypotheses(platform).verdicts
    keep(platform, make_signal("s0", minute=-5, metric="errors", deviation_sigma=3.0))
    (after,) = score_hypotheses(platform.later(minutes=5)).verdicts
    assert after.case_id == before.case_id
    assert after.signal_ids == ("s0", "s1")
    assert len(platform.store.verdicts.list(case_id=before.case_id)) == 2


def test_stopped_ended_and_false_signals_make_no_case(platform: FakePlatform) -> None:
    gate = GateResult(gate="impact", passed=False, reason="no user notices")
    keep(
        platform,
        make_signal("stopped", gates=(gate,)),
        make_signal("ended", service="web", ended_at=NOON + timedelta(minutes=9)),
        make_signal("false", service="search"),
    )
    say(platform, "false", accepted=False)
    assert score_hypotheses(platform) == HypothesisReport(verdicts=(), new=0)


def test_nothing_of_the_future_is_seen(platform: FakePlatform) -> None:
    two_symptoms(platform)
    keep(platform, make_signal("ended", minute=2, ended_at=NOON + timedelta(minutes=30)))
    at = NOON + timedelta(minutes=2)
    now = score_hypotheses(platform, at=at)
    deploy(platform, minute=3)
    keep(platform, make_signal("later", minute=10))
    again = score_hypotheses(platform, at=at)
    assert again.verdicts == now.verdicts


def test_a_weak_trouble_is_inconclusive_and_only_something_new_opens_another_case(
    platform: FakePlatform,
) -> None:
    keep(platform, make_signal("weak", deviation_sigma=0.5))
    (verdict,) = score_hypotheses(platform).verdicts
    assert verdict.judgement.decision is Decision.INCONCLUSIVE
    assert steps(platform, verdict.case_id)[-1] is IncidentState.INCONCLUSIVE
    (same,) = score_hypotheses(platform.later(minutes=5)).verdicts
    assert same.case_id == verdict.case_id
    keep(platform, make_signal("strong", minute=6, deviation_sigma=5.0))
    (other,) = score_hypotheses(platform.later(minutes=10)).verdicts
    assert other.case_id != verdict.case_id
    assert steps(platform, other.case_id) == [IncidentState.DETECTED]
    (stays,) = score_hypotheses(platform.later(minutes=15)).verdicts
    assert stays.case_id == other.case_id


def test_what_people_said_of_past_verdicts_counts(platform: FakePlatform) -> None:
    two_symptoms(platform)
    deploy(platform)
    (verdict,) = score_hypotheses(platform).verdicts
    top = verdict.judgement.top
    assert top is not None
    say(platform, verdict.verdict_id, accepted=True)
    say(platform, top.hypothesis.hypothesis_id, accepted=False)
    later = platform.later(minutes=5)
    (again,) = score_hypotheses(later).verdicts
    top = again.judgement.top
    assert top is not None
    assert top.hypothesis.cause is Cause.DEPLOY
    assert (top.hypothesis.accepted, top.hypothesis.rejected) == (1, 1)


def test_the_graph_is_read_from_the_series(platform: FakePlatform) -> None:
    platform.store.series.register(
        [Series(tenant=platform.tenant, service="web", metric="rps", labels={"depends_on": "db"})]
    )
    keep(platform, make_signal("a", "web", 2), make_signal("b", "db", 0))
    (verdict,) = score_hypotheses(platform).verdicts
    assert verdict.service == "db"
    assert verdict.judgement.ranked[0].hypothesis.statement == "db degraded, felt by web"


def test_a_case_takes_only_the_steps_that_it_can(platform: FakePlatform) -> None:
    two_symptoms(platform)
    (verdict,) = score_hypotheses(platform).verdicts
    case_id = verdict.case_id
    with pytest.raises(InputError, match="cannot go from detected to resolved"):
        move_case(platform, case_id, IncidentState.RESOLVED, by="ann")
    for state in ("acknowledged", "investigating", "mitigated", "resolved", "learned"):
        move_case(platform, case_id, IncidentState(state), by="ann", reason="as agreed")
    assert steps(platform, case_id)[-1] is IncidentState.LEARNED
    with pytest.raises(NotFoundError, match="no case"):
        move_case(platform, "unknown", IncidentState.ACKNOWLEDGED, by="ann")


@pytest.mark.parametrize("rewrite", ["UPDATE transitions SET reason = 'x'", "DELETE FROM transitions"])
def test_the_log_of_a_case_cannot_be_rewritten(platform: FakePlatform, pool: Pool, rewrite: str) -> None:
    two_symptoms(platform)
    score_hypotheses(platform)
    with pool.connection() as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(rewrite)  # type: ignore[arg-type]


def test_a_tenant_judges_only_its_own(platform: FakePlatform, pool: Pool) -> None:
    two_symptoms(platform)
    other = FakePlatform(store=Store(pool, platform.tenant[:40] + "_other"))
    assert score_hypotheses(other).verdicts == ()


def test_the_surest_verdict_comes_first_and_progress_is_told(platform: FakePlatform) -> None:
    told: list[tuple[Any, ...]] = []
    keep(platform, make_signal("weak", "web", deviation_sigma=1.0), make_signal("sure", deviation_sigma=9.0))
    report = score_hypotheses(platform, progress=lambda *step: told.append(step))
    assert [verdict.signal_ids for verdict in report.verdicts] == [("sure",), ("weak",)]
    assert told[-1][1:] == (2, 2)
