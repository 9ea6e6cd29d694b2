"""Exponential smoothing: of a level alone, of a level under a season, and with two seasons at once.

The parameters with the smallest errors one step ahead are searched on a grid, in compiled loops. A search takes a
fraction of a millisecond; a general optimiser takes hundreds of milliseconds.

References:
    Taylor, J. W. (2003). Short-term electricity demand forecasting using double seasonal exponential
    smoothing. JORS 54(8).
    Holt, C. C. (2004, reprint of 1957). Forecasting seasonals and trends by exponentially weighted moving
    averages. IJF 20(1).
"""

from itertools import product

import numba
import numpy as np

from core.arrays import FloatArray, repeated
from models.series.robust import middle_of

#: Smoothing of level, short season and long season, and the share of an error that carries over to the next step.
_GRID: FloatArray = np.array(
    list(product((0.003, 0.03, 0.15), (0.03, 0.1, 0.3), (0.03, 0.1, 0.3), (0.0, 0.5, 0.8, 0.95)))
)
#: Number of days in the median course of a day.
WEEK = 7
_ALPHAS: FloatArray = np.array([0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0])


def level(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """A smoothed level that stays constant, without a season."""
    return np.full(horizon_steps, float(_smooth_level(values, _ALPHAS)))


def level_under_season(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The median course of the longest season that the history contains three times, on a smoothed level."""
    season = next((one for one in reversed(seasons) if len(values) >= 3 * one), seasons[0] if seasons else 1)
    shape, under = _split(values, season, len(values) // season)
    return _smooth_level(under, _ALPHAS) + repeated(shape, horizon_steps)


def level_under_day(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The median course of the shortest season over its last seven, on a smoothed level."""
    shape, under = _split(values, seasons[0] if seasons else 1, WEEK)
    return _smooth_level(under, _ALPHAS) + repeated(shape, horizon_steps)


def last_under_day(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Like `level_under_day`, from the last value instead of the smoothed level."""
    shape, under = _split(values, seasons[0] if seasons else 1, WEEK)
    return np.asarray(under[-1] + repeated(shape, horizon_steps), dtype=np.float64)


def drift_under_day(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Like `level_under_day`, growing by the median change from one season to the next."""
    season = seasons[0] if seasons else 1
    recent = values[-min(len(values), (WEEK + 1) * season) :]
    if len(recent) <= season:
        return level_under_day(values, seasons, horizon_steps)
    growth = float(middle_of(np.asarray(recent[season:] - recent[:-season]))) / season
    ahead = growth * np.arange(1, horizon_steps + 1)
    return level_under_day(values, seasons, horizon_steps) + ahead


def _split(values: FloatArray, season: int, over: int) -> tuple[FloatArray, FloatArray]:
    """The median shape of the last seasons (the first is for the next value), and the values without it."""
    n = len(values)
    count = min(n // season, over)
    rows = values[n - count * season :].reshape(count, season)
    shape = middle_of(rows - rows.mean(axis=1, keepdims=True))
    return shape, values - shape[(np.arange(n) - n) % season]


def double_seasonal(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Level, a short and a long season, and an error that carries over to the next steps."""
    short = seasons[0] if seasons else 1
    long = seasons[-1] if seasons else 1
    n = len(values)
    first = values[: min(n, max(2 * long, 4 * short))]
    start = float(first.mean())
    day = _by_phase(first - start, short)
    week = (
        _by_phase(first - start - day[np.arange(len(first)) % short], long) if long > short else np.zeros(1)
    )
    grid = _GRID if long > short else _GRID[_GRID[:, 2] == _GRID[0, 2]]
    best = grid[_search(values, grid, start, day, week)]
    level_, day, week, error = _run(values, best, start, day, week)
    ahead = np.arange(n, n + horizon_steps)
    fade = best[3] ** np.arange(1, horizon_steps + 1)
    path = level_ + day[ahead % short] + week[ahead % len(week)] + error * fade
    return np.asarray(path, dtype=np.float64)


def _by_phase(values: FloatArray, season: int) -> FloatArray:
    phase = np.arange(len(values)) % season
    total = np.bincount(phase, values, season)
    return np.asarray(total / np.maximum(np.bincount(phase, minlength=season), 1), dtype=np.float64)


@numba.njit(cache=True)
def _smooth_level(values: FloatArray, alphas: FloatArray) -> float:
    """The last level of the smoothing with the smallest mean error one step ahead."""
    best, last = np.inf, values[-1]
    for alpha in alphas:
        state, total = values[0], 0.0
        for value in values:
            error = value - state
            total += abs(error)
            state += alpha * error
        if total < best:
            best, last = total, state
    return float(last)


@numba.njit(cache=True)
def _search(values: FloatArray, grid: FloatArray, start: float, day: FloatArray, week: FloatArray) -> int:
    """Index of the row of `grid` with the smallest squared error after the first third.

    Each row runs as in `_run`. All rows take a value before the next one, because short loops over rows become vector
    instructions: one row alone waits for its own last step each time.
    """
    n, rows, short, long = len(values), len(grid), len(day), len(week)
    alpha, gamma, omega, phi = grid[:, 0].copy(), grid[:, 1].copy(), grid[:, 2].copy(), grid[:, 3].copy()
    state, total, error = np.full(rows, start), np.zeros(rows), np.empty(rows)
    carry, gap = np.zeros(rows), np.empty(rows)
    days, weeks = np.empty((short, rows)), np.empty((long, rows))
    for i in range(short):
        days[i, :] = day[i]
    for j in range(long):
        weeks[j, :] = week[j]
    for t in range(n):
        value, of_day, of_week = values[t], days[t % short], weeks[t % long]
        for row in range(rows):
            gap[row] = value - (state[row] + of_day[row] + of_week[row])
        for row in range(rows):
            error[row] = gap[row] - phi[row] * carry[row]
        for row in range(rows):
            state[row] += alpha[row] * error[row]
        for row in range(rows):
            of_day[row] += gamma[row] * error[row]
        if long > 1:
            for row in range(rows):
                of_week[row] += omega[row] * error[row]
        if t >= n // 3:
            for row in range(rows):
                total[row] += error[row] * error[row]
        carry, gap = gap, carry
    best, chosen = np.inf, 0
    for row in range(rows):
        if total[row] < best:
            best, chosen = total[row], row
    return chosen


@numba.njit(cache=True)
def _run(
    values: FloatArray, row: FloatArray, start: float, day: FloatArray, week: FloatArray
) -> tuple[float, FloatArray, FloatArray, float]:
    """Level, seasons and last error after all values."""
    n, short, long = len(values), len(day), len(week)
    alpha, gamma, omega, phi = row
    state, days, weeks, carry = start, day.copy(), week.copy(), 0.0
    for t in range(n):
        i, j = t % short, t % long
        gap = values[t] - (state + days[i] + weeks[j])
        error = gap - phi * carry
        carry = gap
        state += alpha * error
        days[i] += gamma * error
        if long > 1:
            weeks[j] += omega * error
    return state, days, weeks, carry
