"""Courses on another scale: load multiplies where it grows, so its logarithm adds up.

References:
    Box, G. E. P. and Cox, D. R. (1964). An analysis of transformations. JRSS B 26(2).
"""

import numpy as np

from core.arrays import FloatArray
from models.forecast.protocols import Course

#: Share of the middle that is added before the logarithm, so that a zero is low and not infinitely low.
OFFSET_SHARE = 0.1
#: How far above and below the past a forecast may lie, in units of the logarithm's own range.
REACH = 0.5


def on_log(course: Course) -> Course:
    """The course of the logarithms; the values themselves where some are negative or none is positive."""

    def logged(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
        offset = OFFSET_SHARE * (float(np.median(values)) or float(np.mean(values)))
        if float(values.min()) < 0 or offset <= 0:
            return course(values, seasons, horizon_steps)
        logs = np.log(values + offset)
        low, high = float(logs.min()), float(logs.max())
        reach = REACH * (high - low)
        path = np.clip(course(logs, seasons, horizon_steps), low - reach, high + reach)
        return np.asarray(np.exp(path) - offset, dtype=np.float64)

    return logged


def on_root(course: Course) -> Course:
    """The course of the square roots, between plain values and logarithms."""

    def rooted(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
        if float(values.min()) < 0:
            return course(values, seasons, horizon_steps)
        path = np.maximum(course(np.sqrt(values), seasons, horizon_steps), 0.0)
        return np.asarray(path**2, dtype=np.float64)

    return rooted
