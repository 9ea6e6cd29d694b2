"""The width of an error follows the hour, the size of the forecast and the variability, as learned from past errors."""

from dataclasses import replace

import numpy as np
import pytest

from core.arrays import FloatArray
from models.forecast.intervals.widths import (
    PastErrors,
    Widths,
    effective_count,
    learn_widths,
    relative_variability,
    step_correlation,
    variability,
)

ORIGINS = tuple(range(240, 240 + 24 * 13, 13))


def past_of(errors: FloatArray, told: FloatArray | None = None, size: float = float("nan")) -> PastErrors:
    there = np.zeros_like(errors) if told is None else told
    return PastErrors(errors=errors, yhat=there, origins=ORIGINS, known=ORIGINS[-1] + 24, size=size)


def white(seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(24, 24))


def test_hours_with_larger_errors_get_a_wider_interval() -> None:
    hours = (np.array(ORIGINS)[:, None] + np.arange(24)) % 24
    widths, scaled = learn_widths(past_of(white() * np.where(hours < 12, 4.0, 1.0)), floor=1e-9, season=24)
    by_hour = np.roll(widths.around(np.zeros(24)), (ORIGINS[-1] + 24) % 24)
    assert by_hour[3:9].mean() > 2 * by_hour[15:21].mean()
    # Four times as large before; what is known of one hour is little, so some of it is left.
    assert np.abs(scaled[hours < 12]).mean() < 2 * np.abs(scaled[hours >= 12]).mean()


def test_the_hours_move_on_with_the_clock() -> None:
    widths = Widths(scale=np.ones(4), profile=np.array([1.0, 2.0, 3.0, 4.0]))
    assert widths.at(float("nan"), 1).around(np.zeros(4)) == pytest.approx([2.0, 3.0, 4.0, 1.0])
    assert widths.at(float("nan"), -1).around(np.zeros(4)) == pytest.approx([4.0, 1.0, 2.0, 3.0])


def test_errors_that_grow_with_the_load_get_widths_that_do() -> None:
    told = np.random.default_rng(1).uniform(10, 1_000, size=(24, 24))
    widths, _ = learn_widths(past_of(0.1 * told * white(), told, size=500.0), floor=1e-9, season=1)
    assert widths.grows >= 0.75
    low, high = widths.around(np.array([100.0, 1_000.0]))
    assert high > 4 * low


def test_errors_that_do_not_grow_with_the_load_get_even_widths() -> None:
    told = np.random.default_rng(1).uniform(10, 1_000, size=(24, 24))
    widths, _ = learn_widths(past_of(white(), told, size=500.0), floor=1e-9, season=1)
    assert widths.grows <= 0.25


def test_values_below_zero_have_no_size() -> None:
    widths, _ = learn_widths(past_of(white(), np.full((24, 24), -5.0)), floor=1e-9, season=1)
    assert widths.around(np.array([-5.0, 0.0])) == pytest.approx(widths.scale[:2])


def test_a_restless_series_gets_wider_intervals() -> None:
    widths = Widths(scale=np.ones(3), follows=0.5, calm=1.0)
    assert widths.at(4.0).scale == pytest.approx(np.full(3, 2.0))
    assert widths.at(float("nan")).scale == pytest.approx(np.ones(3))


def test_how_far_the_width_follows_the_unrest_is_learned() -> None:
    restless = np.geomspace(0.3, 3.0, 24)
    past = past_of(white() * restless[:, None])
    follows, _ = learn_widths(replace(past, variability=restless, now=3.0), floor=1e-9, season=1)
    ignores, _ = learn_widths(replace(past_of(white()), variability=restless, now=3.0), floor=1e-9, season=1)
    assert follows.follows >= 0.75
    assert ignores.follows <= 0.25


def test_unrest_is_the_change_from_season_to_season() -> None:
    assert variability(np.tile([1.0, 2.0, 3.0], 5) + np.repeat(np.arange(5.0), 3), 3) == pytest.approx(1.0)
    assert np.isnan(variability(np.array([1.0]), 3))


def test_unrest_that_is_not_known_changes_nothing() -> None:
    assert relative_variability(4.0, np.array([1.0, 4.0, np.nan])) == pytest.approx([4.0, 1.0, 1.6])
    assert relative_variability(float("nan"), np.array([1.0, 4.0])) == pytest.approx([1.0, 1.0])


def test_widths_do_not_fall_with_the_step_and_go_on_like_a_random_walk() -> None:
    widths, _ = learn_widths(past_of(white()), floor=1e-9, season=1)
    beyond = widths.around(np.zeros(96))
    assert (np.diff(beyond) >= -1e-12).all()
    assert beyond[-1] == pytest.approx(2 * beyond[23])


def test_errors_that_last_are_worth_fewer_independent_ones() -> None:
    lasting = np.cumsum(white(), axis=1)
    assert step_correlation(lasting) > 0.8
    assert effective_count(white(), ORIGINS) > 5 * effective_count(lasting, ORIGINS)


def test_what_was_known_at_an_origin_is_what_came_before_it() -> None:
    past = replace(past_of(white()), variability=np.arange(24, dtype=np.float64), now=30.0)
    then = past.before(10)
    assert then.errors.shape == (10, 24)
    assert then.known == ORIGINS[10]
    assert then.now == 10.0
