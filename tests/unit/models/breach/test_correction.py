"""Past predictions correct the probabilities and the ranges of breaches."""

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
from models.breach.outlook import BREACH_HORIZONS_S, BreachPattern

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100 / 0.98
)
PREDICTED_S = (2.0 * 3_600, 4.0 * 3_600, 9.0 * 3_600)


def breach() -> Breach:
    p10, p50, p90 = (NOW + timedelta(seconds=seconds) for seconds in PREDICTED_S)
    return Breach(
        threshold=98.0, probability=0.9, horizon_s=86_400, when=TimeRange(p10=p10, p50=p50, p90=p90)
    )


def before_breaches(metric: str, breaches: int, factor: float, seed: int = 1) -> list[PastForecast]:
    """Breaches that came at `factor` of the predicted median, with a spread of a fifth."""
    came = PREDICTED_S[1] * factor * np.exp(np.random.default_rng(seed).normal(0, 0.2, breaches))
    group = f"fill/stock/{metric}"
    return [
        PastForecast(
            group=group,
            pattern=BreachPattern.FILL,
            episode=str(number),
            probability_by_horizon_s=dict.fromkeys(BREACH_HORIZONS_S, 0.9),
            predicted_s=PREDICTED_S,
            breach_in_s=float(one),
            selected_by_breach=True,
        )
        for number, one in enumerate(came)
    ]


def range_h(
    correction: BreachCorrection, metric: str = "disk_used_bytes", pattern: BreachPattern = BreachPattern.FILL
) -> list[float]:
    when = correction.correct(breach(), replace(DISK, metric=metric), pattern, NOW).when
    assert when is not None
    return [(moment - NOW).total_seconds() / 3_600 for moment in (when.p10, when.p50, when.p90)]


def test_without_past_breaches_nothing_is_moved() -> None:
    assert range_h(learn_correction([])) == pytest.approx([2.0, 4.0, 9.0])


def test_a_range_that_came_late_is_moved_until_it_holds_four_in_five() -> None:
    low, middle, high = range_h(learn_correction(before_breaches("disk_used_bytes", 4_000, 0.6)))
    past = before_breaches("disk_used_bytes", 4_000, 0.6, seed=2)
    came = np.array([one.breach_in_s / 3_600 for one in past if one.breach_in_s is not None])
    assert len(came) == len(past)
    assert middle == pytest.approx(2.4, rel=0.1)
    assert np.mean((came >= low) & (came <= high)) == pytest.approx(0.8, abs=0.05)


def test_few_breaches_move_the_range_a_little_and_other_patterns_not_at_all() -> None:
    correction = learn_correction(before_breaches("disk_used_bytes", 2, 0.3))
    assert 2.5 < range_h(correction)[1] < 4.0
    assert range_h(correction, pattern=BreachPattern.SEASONAL) == pytest.approx([2.0, 4.0, 9.0])


def test_a_metric_that_never_breached_follows_the_others_less() -> None:
    correction = learn_correction(before_breaches("disk_used_bytes", 40, 0.5))
    assert range_h(correction)[1] < range_h(correction, "queue_depth")[1] < 4.0


def test_a_range_stays_ordered_and_within_the_horizon() -> None:
    low, middle, high = range_h(BreachCorrection({"fill/stock": (2.0, -3.0, 5.0)}))
    assert 0 <= low <= middle <= high <= 24


def of_rises(metric: str, count: int, came_share: float, probability: float = 0.6) -> list[PastForecast]:
    """Forecasts at rises, whether a breach came or not; it came within an hour or never."""
    return [
        PastForecast(
            group=f"fill/flow/{metric}",
            pattern=BreachPattern.FILL,
            episode=str(number),
            probability_by_horizon_s=dict.fromkeys(BREACH_HORIZONS_S, probability),
            predicted_s=PREDICTED_S,
            breach_in_s=3_600.0 if number < came_share * count else None,
            selected_by_breach=False,
        )
        for number in range(count)
    ]


def likely(correction: BreachCorrection, metric: str = "error_ratio", probability: float = 0.6) -> Breach:
    predicted = replace(
        breach(),
        probability=probability,
        probability_by_horizon_s=dict.fromkeys(BREACH_HORIZONS_S, probability),
    )
    series = replace(DISK, metric=metric, role=Role.ERRORS)
    return correction.correct(predicted, series, BreachPattern.FILL, NOW)


def test_a_probability_that_never_came_true_becomes_small() -> None:
    corrected = likely(learn_correction(of_rises("error_ratio", 100, came_share=0.0)))
    assert corrected.probability < 0.15
    assert max(corrected.probability_by_horizon_s.values()) < 0.15


def test_a_probability_that_came_true_as_often_as_predicted_or_more_often_stays() -> None:
    for share in (0.6, 0.9):
        assert likely(learn_correction(of_rises("error_ratio", 400, came_share=share))).probability == 0.6


def test_a_probability_that_came_true_half_as_often_is_about_halved() -> None:
    corrected = likely(learn_correction(of_rises("error_ratio", 1_000, came_share=0.3)))
    assert 0.3 < corrected.probability < 0.36


def test_a_few_rises_prove_nothing() -> None:
    assert likely(learn_correction(of_rises("error_ratio", 4, came_share=0.0))).probability == 0.6


def test_a_metric_that_never_rose_is_corrected_like_the_others_of_its_group_but_less() -> None:
    correction = learn_correction(of_rises("error_ratio", 100, came_share=0.0))
    assert likely(correction).probability < likely(correction, "latency_seconds").probability < 0.6


def test_moments_chosen_for_their_breaches_do_not_make_breaches_likelier() -> None:
    chosen = [replace(one, selected_by_breach=True) for one in of_rises("error_ratio", 400, came_share=1.0)]
    assert likely(learn_correction(chosen)).probability == 0.6


def test_a_series_over_its_threshold_is_never_corrected() -> None:
    correction = learn_correction(of_rises("error_ratio", 100, came_share=0.0))
    over = replace(breach(), probability=1.0, probability_by_horizon_s=dict.fromkeys(BREACH_HORIZONS_S, 1.0))
    series = replace(DISK, metric="error_ratio", role=Role.ERRORS)
    assert correction.correct(over, series, BreachPattern.OVER, NOW) == over


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 3), min_size=4, max_size=4),
)
def test_corrected_probabilities_never_fall_with_the_horizon(
    probabilities: list[float], factors: list[float]
) -> None:
    shares = dict(zip(BREACH_HORIZONS_S, sorted(probabilities), strict=True))
    predicted = replace(breach(), probability=max(probabilities), probability_by_horizon_s=shares)
    correction = BreachCorrection(
        probability_factors={"fill/stock": dict(zip(BREACH_HORIZONS_S, factors, strict=True))}
    )
    corrected = correction.correct(predicted, DISK, BreachPattern.FILL, NOW)
    # `Breach` checks that none falls; the whole horizon is the longest.
    assert corrected.probability == corrected.probability_by_horizon_s[BREACH_HORIZONS_S[-1]]


def test_a_correction_survives_json() -> None:
    correction = learn_correction(
        of_rises("error_ratio", 20, came_share=0.5) + before_breaches("disk_used_bytes", 20, 0.5)
    )
    assert BreachCorrection.from_json(json.loads(json.dumps(correction.to_json()))) == correction
