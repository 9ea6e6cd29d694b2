"""The alert budget is kept on quiet data, and true findings make others easier to see."""

import numpy as np
import pytest

from core.durations import WEEK_S
from core.errors import InputError
from models.detect.budget import AlertBudget

SERIES, STEP_S = 200, 300
TESTS = SERIES * WEEK_S // STEP_S


def quiet_weeks(weeks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n = weeks * TESTS
    return np.random.default_rng(seed).random(n), np.arange(n) // SERIES * float(STEP_S)


@pytest.mark.parametrize("alarms", [1.0, 5.0, 50.0])
def test_quiet_data_stays_within_the_budget(alarms: float) -> None:
    weeks = [AlertBudget(alarms, TESTS).decide(*quiet_weeks(1, seed))[0].sum() for seed in range(20)]
    assert np.mean(weeks) <= alarms + 2 * np.sqrt(alarms / 20)
    assert np.mean(weeks) >= 0.2 * alarms


def test_a_finding_lowers_the_bar_for_what_follows_and_the_bar_rises_again() -> None:
    budget = AlertBudget(5, TESTS)
    p, times = quiet_weeks(1, 1)
    p = np.maximum(p, 1e-3)
    p[1000:1010] = 1e-12
    found, thresholds = budget.decide(p, times)
    assert found.sum() == 10
    assert thresholds[999] == pytest.approx(budget.base_alpha)
    assert thresholds[1011] > 2 * budget.base_alpha
    assert thresholds[-1] == pytest.approx(budget.base_alpha, rel=0.01)


def test_a_later_test_never_changes_an_earlier_decision() -> None:
    p, times = quiet_weeks(1, 2)
    budget = AlertBudget(20, TESTS)
    half = p.size // 2
    np.testing.assert_array_equal(budget.decide(p, times)[0][:half], budget.decide(p[:half], times[:half])[0])


def test_no_test_is_no_finding() -> None:
    assert not AlertBudget(5, 1000).decide(np.array([np.nan]), np.array([0.0]))[0][0]


@pytest.mark.parametrize(("alarms", "tests", "earned"), [(0, 10, 0.5), (1, 0, 0.5), (1, 10, 1.0)])
def test_a_budget_of_nothing_is_refused(alarms: float, tests: float, earned: float) -> None:
    with pytest.raises(InputError):
        AlertBudget(alarms, tests, earned)
