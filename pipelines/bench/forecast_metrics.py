"""Measures of forecasts as the M4 competition defines them: sMAPE, MASE, OWA, MSIS and coverage.

References:
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2020). The M4 competition. IJF 36(1).
    Hyndman, R. J. and Koehler, A. B. (2006). Another look at measures of forecast accuracy. IJF 22(4).
"""

import numpy as np

from core.arrays import FloatArray


def scale_of(past: FloatArray, season: int) -> float:
    """Mean absolute error of the seasonal naive forecast inside the past: the unit of MASE.

    Returns:
        positive; NaN if the past is not longer than a season, or repeats itself exactly.
    """
    if len(past) <= season:
        return float("nan")
    steps = np.abs(past[season:] - past[:-season])
    mean = float(np.nanmean(steps)) if np.isfinite(steps).any() else float("nan")
    return mean if mean > 0 else float("nan")


def mase(actual: FloatArray, yhat: FloatArray, scale: float) -> float:
    """Mean absolute error in units of `scale`; 1 = as good as the seasonal naive in the past."""
    return float(np.nanmean(np.abs(actual - yhat)) / scale)


def smape(actual: FloatArray, yhat: FloatArray) -> float:
    """Symmetric mean absolute percentage error, 0 to 200; a point where both are 0 counts as 0."""
    size = np.abs(actual) + np.abs(yhat)
    return float(
        200.0 * np.nanmean(np.divide(np.abs(actual - yhat), size, out=np.zeros_like(size), where=size > 0))
    )


def msis(actual: FloatArray, lower: FloatArray, upper: FloatArray, scale: float, level: float) -> float:
    """Mean scaled interval score of an interval of `level`: its width, and a penalty for each miss."""
    penalty = 2.0 / (1.0 - level)
    below = np.maximum(lower - actual, 0.0)
    above = np.maximum(actual - upper, 0.0)
    return float(np.nanmean(upper - lower + penalty * (below + above)) / scale)


def coverage(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Share of the known values inside the interval, 0 to 1."""
    known = np.isfinite(actual)
    return float(np.mean((actual[known] >= lower[known]) & (actual[known] <= upper[known])))


def is_seasonal(past: FloatArray, season: int) -> bool:
    """The M4 test: the autocorrelation at the season is outside its 90 % limits."""
    if season < 2 or len(past) < 3 * season:
        return False
    centred = past - np.mean(past)
    total = float(np.dot(centred, centred))
    if total == 0:
        return False
    acf = np.array([np.dot(centred[lag:], centred[:-lag]) / total for lag in range(1, season + 1)])
    limit = 1.645 * np.sqrt((1 + 2 * np.sum(acf[:-1] ** 2)) / len(past))
    return bool(abs(acf[-1]) > limit)


def naive2(past: FloatArray, season: int, horizon_steps: int) -> FloatArray:
    """M4's benchmark: the last value, seasonally adjusted by classical multiplicative decomposition."""
    if not is_seasonal(past, season):
        return np.full(horizon_steps, past[-1])
    indices = _classical_indices(past, season)
    phase = (len(past) + np.arange(horizon_steps)) % season
    return np.asarray(past[-1] / indices[(len(past) - 1) % season] * indices[phase], dtype=np.float64)


def _classical_indices(past: FloatArray, season: int) -> FloatArray:
    """Multiplicative seasonal indices by centred moving averages, length `season`, mean 1."""
    weights = np.ones(season) / season if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5] / season
    trend = np.convolve(past, weights, mode="valid")
    offset = (len(weights) - 1) // 2
    inner = past[offset : offset + len(trend)]
    ratio = np.divide(inner, trend, out=np.ones_like(inner), where=trend != 0)
    phase = (offset + np.arange(len(ratio))) % season
    indices = np.bincount(phase, ratio, season) / np.bincount(phase, minlength=season)
    # An index of 0 (a series of zeros at that hour) would divide by zero later.
    indices = np.where(np.abs(indices) < 1e-9, 1e-9, indices)
    return np.asarray(indices / np.mean(indices), dtype=np.float64)


def owa(mase_value: float, smape_value: float, naive2_mase: float, naive2_smape: float) -> float:
    """Overall weighted average of M4: below 1 is better than Naive 2."""
    return 0.5 * (mase_value / naive2_mase + smape_value / naive2_smape)
