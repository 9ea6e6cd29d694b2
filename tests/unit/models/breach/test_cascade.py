"""Cascades are learned by counting, and predicted as likely and as late as they were in the past.

Each example also runs with a cause that is bad when it is low.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes.mirror import mirrored_series

from core.arrays import FloatArray
from core.domain import Breach, Role, Series, TimeRange
from models.breach.cascade import Cascade, CascadeCause, CascadeModel
from models.breach.learn_cascades import BreachTimes, learn_cascades
from models.series.thresholds import is_upward
from models.words.breach import earlier_cases, expected_cascade

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY_S, SPAN_S = 86_400.0, 40 * 86_400.0


def series(service: str, metric: str, role: Role) -> Series:
    unit = "bytes" if role is Role.CAPACITY else "ratio"
    if role is Role.CAPACITY:
        return Series(tenant="t", service=service, metric=metric, unit=unit, role=role, limit=100.0)
    return Series(tenant="t", service=service, metric=metric, unit=unit, role=role, slo_threshold=0.01)


DISK = series("db", "disk_used_bytes", Role.CAPACITY)
ERRORS = series("db", "error_ratio", Role.ERRORS)
CALLER = series("shop", "error_ratio", Role.ERRORS)
STRANGER = series("mail", "error_ratio", Role.ERRORS)
ALL = (DISK, ERRORS, CALLER, STRANGER)
EDGES = (("shop", "db"),)
TIMES = DAY_S * np.arange(1, 21, dtype=np.float64)


@pytest.fixture(params=[False, True], ids=["high is bad", "low is bad"], autouse=True)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        free = mirrored_series(DISK, 100.0)
        here = sys.modules[__name__]
        monkeypatch.setattr(here, "DISK", free)
        monkeypatch.setattr(here, "ALL", (free, *ALL[1:]))


#: As a cause that is there already.
OVER = Breach(
    threshold=98.0,
    probability=1.0,
    horizon_s=86_400,
    when=TimeRange(p10=NOW, p50=NOW, p90=NOW),
    probability_by_horizon_s={10_800: 1.0, 86_400: 1.0},
)


def breached(*at_s: FloatArray) -> BreachTimes:
    """When the threshold was crossed, and each impact level if given."""
    return BreachTimes(as_effect_s=at_s[0], as_cause_s=at_s)


def learn(followed: int, lag_s: float = 1_200.0, caller: int = 0) -> CascadeModel:
    """Twenty breaches of the disk, of which so many were followed."""
    breaches = {
        DISK.series_id: breached(TIMES),
        ERRORS.series_id: breached(TIMES[:followed] + lag_s),
        CALLER.series_id: breached(TIMES[:caller] + 2 * lag_s),
        STRANGER.series_id: breached(TIMES + 100.0),
    }
    return learn_cascades(breaches, ALL, EDGES, span_s=SPAN_S)


def predicted(probability: float = 0.9, *, in_h: float = 4.0) -> Breach:
    p10, p50, p90 = (NOW + timedelta(hours=hours) for hours in (in_h - 1, in_h, in_h + 2))
    return Breach(
        threshold=98.0,
        probability=probability,
        horizon_s=86_400,
        when=TimeRange(p10=p10, p50=p50, p90=p90),
        probability_by_horizon_s={10_800: probability / 3, 21_600: probability / 1.5, 86_400: probability},
    )


def expect(known: CascadeModel, breach: Breach, *, since_s: float | None = None) -> dict[int, Breach]:
    cause = CascadeCause(series=DISK, breach=breach, since_s=since_s)
    found = known.expect({DISK.series_id: cause}, ALL, EDGES, NOW)
    return {key: one.breach for key, one in found.items()}


def test_an_effect_that_always_followed_is_about_as_likely_as_its_cause_and_a_little_later() -> None:
    breach = expect(learn(20), predicted(0.9))[ERRORS.series_id]
    assert breach.threshold == 0.01
    assert 0.8 < breach.probability < 0.9
    assert breach.when is not None
    assert breach.when.p50 == NOW + timedelta(hours=4, minutes=20)
    assert breach.when.p10 == NOW + timedelta(hours=3, minutes=20)
    assert breach.when.p90 == NOW + timedelta(hours=6, minutes=20)


def test_an_effect_that_followed_half_the_time_is_half_as_likely() -> None:
    assert expect(learn(10), predicted(0.9))[ERRORS.series_id].probability == pytest.approx(0.45, abs=0.03)


def test_a_cause_at_the_end_of_a_horizon_has_its_effect_after_the_horizon() -> None:
    by_horizon = expect(learn(20), predicted(0.9))[ERRORS.series_id].probability_by_horizon_s
    assert list(by_horizon) == [10_800, 21_600, 86_400]
    assert by_horizon[10_800] < 0.3 * 0.95
    assert list(by_horizon.values()) == sorted(by_horizon.values())


def test_a_cascade_reaches_callers_and_no_other_service() -> None:
    found = expect(learn(20, caller=15), predicted(0.9))
    assert set(found) == {ERRORS.series_id, CALLER.series_id}
    assert found[CALLER.series_id].probability == pytest.approx(0.9 * 0.75, abs=0.05)


def test_a_service_without_a_past_uses_the_rate_of_similar_services() -> None:
    disk, errors = replace(DISK, service="new"), replace(ERRORS, service="new")
    causes = {disk.series_id: CascadeCause(series=disk, breach=predicted(0.9))}
    found = learn(20).expect(causes, (errors,), EDGES, NOW)
    assert found[errors.series_id].breach.probability > 0.8
    assert found[errors.series_id].rate.cause_breaches == 20


def test_a_pair_that_never_followed_is_not_expected_because_others_did() -> None:
    other_disk, other_errors = replace(DISK, service="quiet"), replace(ERRORS, service="quiet")
    breaches = {
        DISK.series_id: breached(TIMES),
        ERRORS.series_id: breached(TIMES + 600.0),
        other_disk.series_id: breached(TIMES[:8] + 7_200.0),
    }
    known = learn_cascades(breaches, (DISK, ERRORS, other_disk, other_errors), (), span_s=SPAN_S)
    causes = {other_disk.series_id: CascadeCause(series=other_disk, breach=predicted(0.9))}
    found = known.expect(causes, (other_errors,), (), NOW)
    assert found[other_errors.series_id].breach.probability < 0.15


def test_a_series_that_breaches_all_the_time_is_no_effect() -> None:
    breaches = {
        DISK.series_id: breached(TIMES),
        ERRORS.series_id: breached(np.arange(0.0, SPAN_S, 3.0 * 3_600, dtype=np.float64)),
    }
    assert learn_cascades(breaches, ALL, EDGES, span_s=SPAN_S) == CascadeModel()


def test_a_cause_that_is_certain_and_far_off_is_not_followed_at_once() -> None:
    by_horizon = expect(learn(20), predicted(1.0))[ERRORS.series_id].probability_by_horizon_s
    assert list(by_horizon.values()) == sorted(by_horizon.values())
    assert by_horizon[10_800] < 0.35


def test_a_cause_that_has_just_breached_is_followed_within_the_usual_lag() -> None:
    breach = expect(learn(20), OVER, since_s=300.0)[ERRORS.series_id]
    assert breach.probability > 0.8
    assert breach.probability_by_horizon_s[10_800] == pytest.approx(breach.probability)
    assert breach.when is not None
    assert breach.when.p50 == NOW + timedelta(minutes=15)


def test_an_effect_is_not_expected_any_more_after_the_usual_lag() -> None:
    assert expect(learn(20, lag_s=60.0), OVER, since_s=1_800.0)[ERRORS.series_id].probability == 0.0


def test_after_the_short_lags_only_the_long_ones_are_left() -> None:
    lags = np.where(np.arange(20) % 2, 300.0, 5_400.0)
    breaches = {DISK.series_id: breached(TIMES), ERRORS.series_id: breached(TIMES + lags)}
    known = learn_cascades(breaches, ALL, EDGES, span_s=SPAN_S)
    at_once, later = (expect(known, OVER, since_s=since)[ERRORS.series_id] for since in (60.0, 3_600.0))
    assert later.probability < at_once.probability
    assert later.when is not None
    assert later.when.p50 == NOW + timedelta(minutes=30)


def test_a_cause_counts_from_its_impact_level() -> None:
    full = TIMES + 3_600.0 * (1.0 + np.arange(20) % 3) / 2
    breaches = {
        DISK.series_id: breached(TIMES, TIMES + 60.0, full, full),
        ERRORS.series_id: breached(full + 300.0),
    }
    known = learn_cascades(breaches, ALL, EDGES, span_s=SPAN_S)
    assert known.impact_fractions == {DISK.metric: 0.5}
    # An SLO threshold has no end beyond it.
    assert known.impact_level(DISK) == pytest.approx(99.0 if is_upward(DISK) else 2.0)
    assert known.impact_level(ERRORS) == 0.01
    assert set(known.by_pair[DISK.series_id, ERRORS.series_id].lag_quantiles_s) == {300.0}
    assert CascadeModel.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_the_impact_level_is_the_threshold_if_all_levels_fit_equally() -> None:
    assert learn(20).impact_fractions == {}
    assert learn(20).impact_level(DISK) == pytest.approx(98.0 if is_upward(DISK) else 2.0)


def test_a_cause_that_is_surely_soon_is_followed_within_the_horizon() -> None:
    soon = predicted(1.0, in_h=2.0)
    when = TimeRange(
        p10=NOW + timedelta(hours=1), p50=NOW + timedelta(hours=1.2), p90=NOW + timedelta(hours=2)
    )
    soon = replace(soon, when=when, probability_by_horizon_s={10_800: 1.0, 86_400: 1.0})
    assert expect(learn(20), soon)[ERRORS.series_id].probability_by_horizon_s[10_800] > 0.9


def test_without_known_rates_nothing_is_expected() -> None:
    assert expect(CascadeModel(), predicted()) == {}
    assert learn_cascades({}, ALL, EDGES, span_s=SPAN_S) == CascadeModel()


def test_a_disk_does_not_fill_because_requests_fail() -> None:
    breaches = {ERRORS.series_id: breached(TIMES), DISK.series_id: breached(TIMES + 60.0)}
    known = learn_cascades(breaches, ALL, EDGES, span_s=SPAN_S)
    assert all(effect != DISK.series_id for _, effect in known.by_pair)


def test_the_likelier_of_two_causes_is_named() -> None:
    pool = replace(DISK, metric="db_connections", unit="connections")
    known = learn_cascades(
        {
            DISK.series_id: breached(TIMES),
            pool.series_id: breached(TIMES + 7_200.0),
            ERRORS.series_id: breached(TIMES + 600.0),
        },
        (*ALL, pool),
        EDGES,
        span_s=SPAN_S,
    )
    causes = {
        DISK.series_id: CascadeCause(series=DISK, breach=predicted(0.5)),
        pool.series_id: CascadeCause(series=pool, breach=predicted(0.9)),
    }
    assert known.expect(causes, (ERRORS,), EDGES, NOW)[ERRORS.series_id].cause == DISK


def text_of(effect: Series, found: Cascade) -> str:
    earlier = earlier_cases(found.rate.followed, found.rate.cause_breaches, own=found.rate.own)
    return expected_cascade(effect, found.breach, found.cause, earlier, NOW)


def test_the_text_names_the_cause_and_the_evidence() -> None:
    causes = {DISK.series_id: CascadeCause(series=DISK, breach=predicted(0.9))}
    found = learn(19).expect(causes, (ERRORS,), EDGES, NOW)
    cause = "disk of db is full" if is_upward(DISK) else "disk free of db falls below 2 B"
    assert text_of(ERRORS, found[ERRORS.series_id]) == (
        f"error of db passes 1 % in 4 h 20 min, between 3 h 20 min and 6 h 20 min. Likely cause: {cause}. "
        "This followed in 19 of 20 earlier cases."
    )


def test_a_rate_of_similar_services_is_marked_as_elsewhere() -> None:
    disk, errors = replace(DISK, service="new"), replace(ERRORS, service="new")
    found = learn(19).expect(
        {disk.series_id: CascadeCause(series=disk, breach=predicted(0.9))}, (errors,), EDGES, NOW
    )
    assert text_of(errors, found[errors.series_id]).endswith(
        "This followed in 19 of 20 earlier cases of similar series."
    )


def test_a_model_survives_json() -> None:
    known = learn(12, caller=4)
    assert CascadeModel.from_json(json.loads(json.dumps(known.to_json()))) == known
