"""The compiled loops of the pool against the same in plain Python, to the last bit."""

from itertools import product

import numpy as np
import pytest

from core.arrays import FloatArray
from models.forecast.pool.ridge import _products
from models.forecast.pool.smoothing import _GRID, _run, _search


def load(hours: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    t = np.arange(hours)
    course = 100 + 30 * np.sin(2 * np.pi * t / 24) + 10 * (t // 24 % 7 < 5) + rng.normal(0, 3, hours)
    return np.asarray(np.cumsum(rng.normal(0, 0.5, hours)) + course, dtype=np.float64)


def run_plainly(
    values: FloatArray, row: FloatArray, start: float, seasons: tuple[int, int]
) -> tuple[float, float, list[float], list[float], float]:
    """Squared error after the first third; level, seasons and last error after all values."""
    alpha, gamma, omega, phi = row.tolist()
    days, weeks = [0.0] * seasons[0], [0.0] * seasons[1]
    level, carry, total = start, 0.0, 0.0
    for t, value in enumerate(values.tolist()):
        i, j = t % seasons[0], t % seasons[1]
        gap = value - (level + days[i] + weeks[j])
        error = gap - phi * carry
        carry = gap
        level += alpha * error
        days[i] += gamma * error
        if seasons[1] > 1:
            weeks[j] += omega * error
        if t >= len(values) // 3:
            total += error * error
    return total, level, days, weeks, carry


@pytest.mark.parametrize(("seed", "seasons"), list(product(range(3), ((24, 168), (24, 1), (1, 1)))))
def test_the_search_finds_the_row_with_the_smallest_error(seed: int, seasons: tuple[int, int]) -> None:
    values = load(1_008, seed)
    day, week = np.zeros(seasons[0]), np.zeros(seasons[1])
    errors = [run_plainly(values, row, values[0], seasons)[0] for row in _GRID]
    assert _search(values, _GRID, values[0], day, week) == int(np.argmin(errors))


def test_of_equal_rows_the_search_takes_the_first() -> None:
    assert _search(load(200, 0), np.repeat(_GRID[50:51], 5, axis=0), 100.0, np.zeros(24), np.zeros(168)) == 0


def test_a_run_ends_where_the_plain_loop_ends() -> None:
    values, row = load(400, 1), _GRID[40]
    day, week = np.zeros(24), np.zeros(168)
    level, days, weeks, carry = _run(values, row, 100.0, day, week)
    assert (level, days.tolist(), weeks.tolist(), carry) == run_plainly(values, row, 100.0, (24, 168))[1:]
    assert not np.append(day, week).any(), "the seasons of the caller stay"


@pytest.mark.parametrize(("lags", "width"), [(1, 3), (24, 72), (192, 240)])
def test_the_products_are_those_of_the_windows(lags: int, width: int) -> None:
    values = load(1_008, 2)
    windows = len(values) - width + 1
    found = _products(values, lags, width, windows)
    slices = np.lib.stride_tricks.sliding_window_view(values, width)
    wanted = np.triu(slices.T @ slices)[:lags]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    first = [0.0] * width
    for t, j in product(range(windows), range(width)):
        first[j] += float(values[t]) * float(values[t + j])
    assert found[0].tolist() == first
