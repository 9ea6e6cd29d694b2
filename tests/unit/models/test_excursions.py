"""Trouble in a history is told from the habits of a series."""

import numpy as np
import pytest

from models.excursions import FAR, NEAR, isolated_excursions

STEP_S = 300
DAY = 288
TIMES = np.arange(30 * DAY, dtype=np.int64) * STEP_S


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=TIMES.size)


def test_quiet_noise_has_none() -> None:
    assert not isolated_excursions(noise(), TIMES).any()


def test_heavy_tails_are_a_habit() -> None:
    heavy = np.random.default_rng(1).standard_t(2, size=TIMES.size)
    assert np.unique(TIMES[np.abs(heavy) > FAR] // 86_400).size > 6
    assert not isolated_excursions(heavy, TIMES).any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_slow_fill_at_the_end_is_marked_from_where_it_left_the_ordinary(sign: float) -> None:
    residual = noise()
    residual[-72:] += np.linspace(0, 100, 72)
    marked = isolated_excursions(sign * residual, TIMES)
    assert not marked[:-72].any()
    assert marked[-68:].all()


def test_missing_values_do_not_end_an_excursion() -> None:
    residual = noise()
    residual[1000:1040] = 50.0
    residual[1010:1020] = np.nan
    assert isolated_excursions(residual, TIMES)[1000:1040].all()


def test_bursts_of_every_few_days_are_a_habit_on_their_side_only() -> None:
    residual = noise()
    residual[np.arange(100, TIMES.size, 5 * DAY)] = 40.0
    residual[4000:4020] = -40.0
    marked = isolated_excursions(residual, TIMES)
    assert marked[4000:4020].all()
    assert marked.sum() == pytest.approx(20, abs=2)


def test_what_stays_near_is_left() -> None:
    residual = noise()
    residual[1000:1100] = (NEAR + FAR) / 2
    assert not isolated_excursions(residual, TIMES).any()
