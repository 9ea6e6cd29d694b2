"""Ridge regression from the last lags to every step ahead, in a millisecond.

Neighbouring windows share all but one of their values, so the products of lags follow from one another, and no matrix
of windows is built.

References:
    Hoerl, A. E. and Kennard, R. W. (1970). Ridge regression. Technometrics 12(1).
    Marcellino, M., Stock, J. and Watson, M. (2006). A comparison of direct and iterated multistep AR
    methods. Journal of Econometrics 135.
    Toner, W. and Darlow, L. (2024). An analysis of linear time series forecasting models. ICML.
"""

import numba
import numpy as np
from scipy.linalg.lapack import dposv

from core.arrays import FloatArray, repeated
from models.series.robust import middle_of

#: Weight of the ridge, as a share of the mean square of a lag.
PENALTY = 0.3
#: Number of seasons that the lags cover: a week and a day for the values, two days for what a course leaves.
LONG_LAGS, SHORT_LAGS = 8, 2


def lags_of_last(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """A ridge on the lags of a week and a day, all relative to the last value."""
    season = seasons[0] if seasons else 1
    lags = min(max(LONG_LAGS * season, 8), len(values) // 3)
    return _ridge(values, lags, horizon_steps, relative=True)


def lags_of_rest(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The mean course by season, and a ridge on the remainder."""
    return _on_rest(values, mean_course(values, seasons), seasons, horizon_steps)


def lags_of_robust_rest(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The median course by season, and a ridge on the remainder."""
    return _on_rest(values, median_course(values, seasons), seasons, horizon_steps)


def mean_course(values: FloatArray, seasons: tuple[int, ...]) -> FloatArray:
    """The mean by phase of the short season, plus that of the long one, shrunk; the first phase is the next value."""
    n = len(values)
    short = seasons[0] if seasons else 1
    phase = (np.arange(n) - n) % short
    course = np.bincount(phase, values, short) / np.bincount(phase, minlength=short)
    if len(seasons) < 2 or n < 3 * seasons[-1]:
        return np.asarray(course, dtype=np.float64)
    long = seasons[-1]
    place = (np.arange(n) - n) % long
    rest = np.bincount(place, values - course[phase], long)
    # Shrunk as if two more weeks had shown no pattern: three weeks alone are weak evidence of one.
    return np.asarray(
        repeated(course, long) + rest / (np.bincount(place, minlength=long) + 2.0), dtype=np.float64
    )


def median_course(values: FloatArray, seasons: tuple[int, ...]) -> FloatArray:
    """Like `mean_course` with medians, over at most two weeks of days."""
    n = len(values)
    short = seasons[0] if seasons else 1
    count = min(n // short, 14)
    course = middle_of(values[n - count * short :].reshape(count, short))
    if len(seasons) < 2 or n < 3 * seasons[-1]:
        return np.asarray(course, dtype=np.float64)
    long = seasons[-1]
    weeks = n // long
    rest = values - course[(np.arange(n) - n) % short]
    return repeated(course, long) + middle_of(rest[n - weeks * long :].reshape(weeks, long))


def _on_rest(
    values: FloatArray, course: FloatArray, seasons: tuple[int, ...], horizon_steps: int
) -> FloatArray:
    n = len(values)
    rest = values - course[(np.arange(n) - n) % len(course)]
    season = seasons[0] if seasons else 1
    lags = min(max(SHORT_LAGS * season, 8), n // 3)
    return _ridge(rest, lags, horizon_steps, relative=False) + repeated(course, horizon_steps)


def _ridge(values: FloatArray, lags: int, horizon_steps: int, *, relative: bool) -> FloatArray:
    n = len(values)
    windows = n - lags - horizon_steps + 1
    if lags < 1 or windows < 2 or float(np.ptp(values)) == 0.0:
        return np.full(horizon_steps, values[-1] if relative else float(np.mean(values)))
    # Centred first, because in products of large levels the differences would be lost to rounding.
    centre = float(np.mean(values)) if relative else 0.0
    products = _products(values - centre, lags, lags + horizon_steps, windows)
    past, ahead = products[:, :lags], products[:, lags:]
    recent = values[-lags:] - centre
    if relative:
        last = lags - 1
        edge, corner = past[:, last].copy(), past[last, last]
        ahead = ahead - products[last, lags:][None, :] - edge[:, None] + corner
        past = past - edge[:, None] - edge[None, :] + corner
        recent = recent - recent[-1]
    penalty = PENALTY * float(np.trace(past)) / lags
    if penalty <= 0:
        return np.full(horizon_steps, values[-1] if relative else 0.0)
    past = past + penalty * np.eye(lags)
    # What `scipy.linalg.solve` calls: it also estimates the condition, which takes longer than the solution. It reads
    # the upper triangle alone. The matrix is symmetric, so one solution for the newest lags serves all steps ahead.
    _, weights, failed = dposv(past, recent)
    if failed:
        raise np.linalg.LinAlgError("the products of the lags are not positive definite")
    return np.asarray(weights @ ahead + (values[-1] if relative else 0.0), dtype=np.float64)


@numba.njit(cache=True)
def _products(values: FloatArray, lags: int, width: int, windows: int) -> FloatArray:
    """Sums over all windows of value i times value j where i <= j, (lags, width); 0 where i > j."""
    out = np.zeros((lags, width))
    # The loops over j have no sum of their own, so that they become vector instructions.
    row = out[0]
    for t in range(windows):
        value = values[t]
        for j in range(width):
            row[j] += value * values[t + j]
    for i in range(1, lags):
        above, row = out[i - 1], out[i]
        gone, new = values[i - 1], values[i - 1 + windows]
        for j in range(i, width):
            row[j] = above[j - 1] + (new * values[j - 1 + windows] - gone * values[j - 1])
    return out
