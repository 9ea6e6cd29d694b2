"""Probabilities and ranges of breaches are corrected by what the past taught."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Breach, Role, Series, TimeRange
from models.breach.backtest import PastForecast
from models.breach.correction import BreachCorrection, learn_correction
from models.breach.outlook import HORIZONS_S, BreachPattern

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100 / 0.98
)
TOLD = (2.0 * 3_600, 4.0 * 3_600, 9.0 * 3_600)


def breach() -> Breach:
    p10, p50, p90 = (NOW + timedelta(seconds=told) for told in TOLD)
    return Breach(
        threshold=98.0, probability=0.9, horizon_s=86_400, when=TimeRange(p10=p10, p50=p50, p90=p90)
    )


def looks(metric: str, breaches: int, factor: float, seed: int = 1) -> list[PastForecast]:
    """Breaches that came at `factor` of the middle that was said, with a fifth of spread."""
    came = TOLD[1] * factor * np.exp(np.random.default_rng(seed).normal(0, 0.2, breaches))
    kind = f"fill/stock/{metric}"
    return [
        PastForecast(
            kind=kind,
            pattern=BreachPattern.FILL,
            episode=str(number),
            told=dict.fromkeys(HORIZONS_S, 0.9),
            told_s=TOLD,
            came_s=float(one),
            chosen=True,
        )
        for number, one in enumerate(came)
    ]


def range_h(
    hindsight: BreachCorrection, metric: str = "disk_used_bytes", pattern: BreachPattern = BreachPattern.FILL
) -> list[float]:
    when = hindsight.correct(breach(), replace(DISK, metric=metric), pattern, NOW).when
    assert when is not None
    return [(moment - NOW).total_seconds() / 3_600 for moment in (when.p10, when.p50, when.p90)]


def test_without_past_breaches_nothing_is_moved() -> None:
    assert range_h(learn_correction([])) == pytest.approx([2.0, 4.0, 9.0])


def test_a_range_that_came_late_is_moved_until_it_holds_four_in_five() -> None:
    low, middle, high = range_h(learn_correction(looks("disk_used_bytes", 4_000, 0.6)))
    past = looks("disk_used_bytes", 4_000, 0.6, seed=2)
    came = np.array([look.came_s / 3_600 for look in past if look.came_s is not None])
    assert len(came) == len(past)
    assert middle == pytest.approx(2.4, rel=0.1)
    assert np.mean((came >= low) & (came <= high)) == pytest.approx(0.8, abs=0.05)


def test_few_breaches_move_it_a_little_and_other_cases_not_at_all() -> None:
    hindsight = learn_correction(looks("disk_used_bytes", 2, 0.3))
    assert 2.5 < range_h(hindsight)[1] < 4.0
    assert range_h(hindsight, pattern=BreachPattern.SEASONAL) == pytest.approx([2.0, 4.0, 9.0])


def test_a_metric_that_never_breached_follows_the_others_less() -> None:
    hindsight = learn_correction(looks("disk_used_bytes", 40, 0.5))
    assert range_h(hindsight)[1] < range_h(hindsight, "queue_depth")[1] < 4.0


def test_a_range_stays_ordered_and_within_the_horizon() -> None:
    low, middle, high = range_h(BreachCorrection({"fill/stock": (2.0, -3.0, 5.0)}))
    assert 0 <= low <= middle <= high <= 24


def tried(metric: str, count: int, came_share: float, told: float = 0.6) -> list[PastForecast]:
    """Rises that were looked from whether a breach came or not; it came within 3 h or never."""
    return [
        PastForecast(
            kind=f"fill/flow/{metric}",
            pattern=BreachPattern.FILL,
            episode=str(number),
            told=dict.fromkeys(HORIZONS_S, told),
            told_s=TOLD,
            came_s=3_600.0 if number < came_share * count else None,
            chosen=False,
        )
        for number in range(count)
    ]


def likely(hindsight: BreachCorrection, metric: str = "error_ratio", told: float = 0.6) -> Breach:
    foreseen = replace(breach(), probability=told, probability_by_horizon_s=dict.fromkeys(HORIZONS_S, told))
    series = replace(DISK, metric=metric, role=Role.ERRORS)
    return hindsight.correct(foreseen, series, BreachPattern.FILL, NOW)


def test_what_never_came_true_is_hardly_believed_any_more() -> None:
    corrected = likely(learn_correction(tried("error_ratio", 100, came_share=0.0)))
    assert corrected.probability < 0.15
    assert max(corrected.probability_by_horizon_s.values()) < 0.15


def test_what_came_true_as_often_as_it_was_said_or_oftener_stays_as_it_was_said() -> None:
    for share in (0.6, 0.9):
        assert likely(learn_correction(tried("error_ratio", 400, came_share=share))).probability == 0.6


def test_what_came_true_half_as_often_is_believed_a_little_more_than_half() -> None:
    corrected = likely(learn_correction(tried("error_ratio", 1_000, came_share=0.3)))
    assert 0.3 < corrected.probability < 0.36


def test_a_few_rises_prove_nothing() -> None:
    assert likely(learn_correction(tried("error_ratio", 4, came_share=0.0))).probability == 0.6


def test_a_metric_that_never_rose_is_doubted_like_the_others_of_its_sort_but_less() -> None:
    hindsight = learn_correction(tried("error_ratio", 100, came_share=0.0))
    assert likely(hindsight).probability < likely(hindsight, "latency_seconds").probability < 0.6


def test_moments_chosen_for_their_breaches_do_not_make_breaches_likelier() -> None:
    chosen = [replace(look, chosen=True) for look in tried("error_ratio", 400, came_share=1.0)]
    assert likely(learn_correction(chosen)).probability == 0.6


def test_what_is_over_is_certain_whatever_was_learned() -> None:
    hindsight = learn_correction(tried("error_ratio", 100, came_share=0.0))
    over = replace(breach(), probability=1.0, probability_by_horizon_s=dict.fromkeys(HORIZONS_S, 1.0))
    series = replace(DISK, metric="error_ratio", role=Role.ERRORS)
    assert hindsight.correct(over, series, BreachPattern.OVER, NOW) == over


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 3), min_size=4, max_size=4),
)
def test_corrected_probabilities_never_fall_with_the_horizon(told: list[float], ratios: list[float]) -> None:
    shares = dict(zip(HORIZONS_S, sorted(told), strict=True))
    foreseen = replace(breach(), probability=max(told), probability_by_horizon_s=shares)
    hindsight = BreachCorrection(came_true={"fill/stock": dict(zip(HORIZONS_S, ratios, strict=True))})
    corrected = hindsight.correct(foreseen, DISK, BreachPattern.FILL, NOW)
    # `Breach` checks that none falls; the whole horizon is the longest.
    assert corrected.probability == corrected.probability_by_horizon_s[HORIZONS_S[-1]]


def test_what_was_learned_survives_json() -> None:
    hindsight = learn_correction(tried("error_ratio", 20, came_share=0.5) + looks("disk_used_bytes", 20, 0.5))
    assert BreachCorrection.from_json(json.loads(json.dumps(hindsight.to_json()))) == hindsight
