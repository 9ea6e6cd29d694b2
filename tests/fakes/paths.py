"""Simulated paths that a test has made itself."""

import numpy as np

from core.arrays import FloatArray
from models.forecast.paths import ForecastPaths


def paths_of(values: FloatArray) -> ForecastPaths:
    """Paths with these values, (count, h)."""
    ordered = np.sort(values, axis=0)
    return ForecastPaths.within(ordered[0], ordered[-1], len(values), lambda: values)
