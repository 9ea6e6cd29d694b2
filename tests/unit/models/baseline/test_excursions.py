"""An excursion that is not over at the end of a history is left out, unless such excursions are usual."""

import numpy as np
import pytest

from models.baseline.excursions import FAR, NEAR, lone_excursion, unfinished_excursion

STEP_S = 300
DAY = 288
TIMES = np.arange(30 * DAY, dtype=np.int64) * STEP_S


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=TIMES.size).clip(-NEAR, NEAR)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_slow_fill_at_the_end_is_marked_from_where_it_left_the_ordinary(sign: float) -> None:
    residual = noise()
    residual[-72:] += np.linspace(0, 100, 72)
    marked = unfinished_excursion(sign * residual, TIMES)
    assert not marked[:-72].any()
    assert marked[-66:].all()


def test_quiet_noise_has_none() -> None:
    assert not unfinished_excursion(noise(), TIMES).any()


def test_what_came_back_is_part_of_life() -> None:
    residual = noise()
    residual[1000:1040] = 50.0
    residual[-30:-1] = 50.0
    residual[-1] = 0.0
    assert not unfinished_excursion(residual, TIMES).any()


def test_missing_values_do_not_end_it() -> None:
    residual = noise()
    residual[-40:] = 50.0
    residual[-20:-10] = np.nan
    residual[-3:] = np.nan
    assert unfinished_excursion(residual, TIMES)[-40:].all()


def test_what_strays_as_far_on_many_days_is_a_habit() -> None:
    residual = noise()
    residual[np.arange(100, TIMES.size, 5 * DAY)] = 40.0
    residual[-20:] = 40.0
    assert not unfinished_excursion(residual, TIMES).any()


def test_what_stays_near_is_left() -> None:
    residual = noise()
    residual[-100:] = (NEAR + FAR) / 2
    assert not unfinished_excursion(residual, TIMES).any()


def test_a_row_without_values_has_none() -> None:
    assert not unfinished_excursion(np.full(TIMES.size, np.nan), TIMES).any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_spike_of_the_last_day_that_has_no_equal_is_marked(sign: float) -> None:
    residual = noise()
    residual[-40:-20] = 50.0
    marked = lone_excursion(sign * residual, TIMES)
    assert np.flatnonzero(marked).tolist() == list(range(TIMES.size - 40, TIMES.size - 20))


@pytest.mark.parametrize(
    ("days", "others"),
    [(13, []), (30, [5 * DAY]), (30, [28 * DAY]), (30, [29 * DAY - 20])],
    ids=["a short history", "a spike like it weeks before", "one two days before", "one a day before"],
)
def test_a_spike_that_may_be_usual_is_not_marked(days: int, others: list[int]) -> None:
    times = TIMES[: days * DAY]
    residual = noise()[: days * DAY]
    residual[-40:-20] = 50.0
    residual[others] = 20.0
    assert not lone_excursion(residual, times).any()


def test_a_spike_of_an_earlier_day_counts_as_normal() -> None:
    residual = noise()
    residual[-2 * DAY : -2 * DAY + 20] = 50.0
    assert not lone_excursion(residual, TIMES).any()
    assert not lone_excursion(np.full(TIMES.size, np.nan), TIMES).any()
