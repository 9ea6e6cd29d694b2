"""Courses on another scale: load grows by factors, so its logarithm grows by sums.

References:
    Box, G. E. P. and Cox, D. R. (1964). An analysis of transformations. JRSS B 26(2).
"""

import numpy as np

from core.arrays import FloatArray
from models.forecast.protocols import Course

#: Share of the median that is added before the logarithm, so that zeros have a finite logarithm.
OFFSET_SHARE = 0.1
#: How far a forecast may lie outside the range of past logarithms, as a share of that range.
REACH = 0.5


def on_log(course: Course) -> Course:
    """Apply a course to logarithms; to the values themselves if one is negative or none is positive."""

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
    """Apply a course to square roots, a scale between values and logarithms."""

    def rooted(values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
        if float(values.min()) < 0:
            return course(values, seasons, horizon_steps)
        path = np.maximum(course(np.sqrt(values), seasons, horizon_steps), 0.0)
        return np.asarray(path**2, dtype=np.float64)

    return rooted
