"""The values of one season ago, and simple forecasts made from them."""

import numpy as np

from core.arrays import FloatArray, repeated
from models.series.robust import middle_of

#: Number of seasons in the median: a week of days.
MEDIAN_OVER = 7


def seasonal_naive(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Repeat the last shortest season; without a season the last value. It is the reference for every other model.

    References:
        Hyndman, R. J. and Athanasopoulos, G. (2021). Forecasting: principles and practice, 5.2.
    """
    return repeated(values[-(seasons[0] if seasons else 1) :], horizon_steps)


def longest_naive(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Repeat the last longest season, such as the last week."""
    return repeated(values[-(seasons[-1] if seasons else 1) :], horizon_steps)


def longest_moved(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """Repeat the last longest season, moved by the change of the short season since one long season ago."""
    if len(seasons) < 2 or len(values) < seasons[-1] + seasons[0]:
        return seasonal_naive(values, seasons, horizon_steps)
    short, long = seasons[0], seasons[-1]
    change = float(values[-short:].mean() - values[-long - short : -long].mean())
    return repeated(values[-long:], horizon_steps) + change


def recent_median(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The median of the last shortest season, at every step."""
    return np.full(horizon_steps, middle_of(values[-(seasons[0] if seasons else 5) :]))


def seasonal_median(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
    """The median by phase over the last seasons; an incident in one of them has no effect."""
    season = seasons[0] if seasons else 1
    count = min(MEDIAN_OVER, len(values) // season)
    return repeated(middle_of(values[-count * season :].reshape(count, season)), horizon_steps)
