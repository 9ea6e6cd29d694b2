"""The level of a series at the end of its history, and its slope."""

import numba
import numpy as np

from core.arrays import FloatArray
from core.durations import DAY_S
from models.baseline.changepoints import Shift


def level_and_slope(
    hourly: FloatArray, hour0_s: int, hour_s: int, shifts: list[tuple[Shift, ...]], end_s: int
) -> tuple[FloatArray, FloatArray]:
    """The level at the end and the slope per day, both from the values since the last shift."""
    n, width = hourly.shape
    level, slope = np.full(n, np.nan), np.zeros(n)
    per_day = DAY_S // hour_s
    hours = np.arange(width)
    for row in range(n):
        since = (shifts[row][-1].at_s - hour0_s) // hour_s if shifts[row] else 0
        known = hours[since:][np.isfinite(hourly[row, since:])]
        if known.size == 0:
            known = hours[np.isfinite(hourly[row])]
            if known.size == 0:
                continue
        recent = known[known > known[-1] - per_day]
        level[row] = np.median(hourly[row, recent])
        if known.size >= 3 * per_day:
            slope[row] = _robust_slope(known / per_day, hourly[row, known])
            middle_s = hour0_s + hour_s * (float(np.median(recent)) + 0.5)
            level[row] += slope[row] * (end_s - middle_s) / DAY_S
    return level, slope


@numba.njit(cache=True, nogil=True)
def _robust_slope(day: FloatArray, values: FloatArray) -> float:
    """Slope per day of a line through medians; 0 unless the values clearly follow a line.

    References:
        Sen (1968), Estimates of the regression coefficient based on Kendall's tau, JASA 63.
    """
    pieces = min(30, day.size // 12)
    if pieces < 2:
        return 0.0
    x, y = np.empty(pieces), np.empty(pieces)
    for k in range(pieces):
        first, end = k * day.size // pieces, (k + 1) * day.size // pieces
        x[k], y[k] = np.median(day[first:end]), np.median(values[first:end])
    slopes = np.empty(pieces * (pieces - 1) // 2)
    at = 0
    for i in range(pieces):
        for j in range(i + 1, pieces):
            slopes[at] = (y[j] - y[i]) / (x[j] - x[i])
            at += 1
    slope = np.median(slopes)
    same_sign = np.mean((np.sign(slopes) == np.sign(slope)).astype(np.float64))
    residual = values - slope * day
    spread = np.median(np.abs(residual - np.median(residual)))
    if same_sign > 0.9 and abs(slope) * (day[-1] - day[0]) > 4.0 * spread:
        return float(slope)
    return 0.0
