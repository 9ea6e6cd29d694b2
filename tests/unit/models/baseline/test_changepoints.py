"""Shifts of level on courses whose truth is known."""

import numpy as np
import pytest

from models.baseline.changepoints import find_shifts

HOURS = 30 * 24
START_S = 1_760_000_400 // 3600 * 3600


def noise(seed: int, n: int = HOURS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def test_white_noise_has_less_than_one_in_ten_thousand_hours() -> None:
    found = [shift for seed in range(60) for shift in find_shifts(noise(seed), START_S)]
    assert len(found) * 10_000 < 60 * HOURS


@pytest.mark.parametrize("size", [6.0, -6.0, 40.0])
def test_a_step_is_one_shift_at_its_hour(size: float) -> None:
    course = noise(1)
    course[400:] += size
    (shift,) = find_shifts(course, START_S)
    assert abs(shift.at_s - (START_S + 400 * 3600)) <= 3600
    assert shift.size == pytest.approx(size, abs=1.0)


@pytest.mark.parametrize("per_day", [0.5, 5.0, 50.0, -50.0])
def test_a_steady_trend_has_none_however_steep(per_day: float) -> None:
    course = noise(2) + per_day * np.arange(HOURS) / 24
    assert find_shifts(course, START_S) == []


def test_a_step_on_a_trend_is_found_alone() -> None:
    course = noise(3) + 2.0 * np.arange(HOURS) / 24
    course[300:] += 25.0
    (shift,) = find_shifts(course, START_S)
    assert abs(shift.at_s - (START_S + 300 * 3600)) <= 3600


def test_a_shift_in_a_gap_is_found() -> None:
    course = noise(4)
    course[400:] += 20.0
    course[392:408] = np.nan
    (shift,) = find_shifts(course, START_S)
    assert 390 <= (shift.at_s - START_S) // 3600 <= 410


def test_an_outlier_of_hours_is_no_shift() -> None:
    course = noise(5)
    course[300:306] += 50.0
    assert find_shifts(course, START_S) == []


def test_a_shift_right_after_a_deploy_names_it() -> None:
    course = noise(6)
    course[400:] += 20.0
    deploy = START_S + 399 * 3600
    (shift,) = find_shifts(course, START_S, deploys_s=[START_S, deploy])
    assert shift.deploy_s == deploy
