"""Exponentially weighted average of the values: it finds small shifts that last, which single values do not show.

References:
    Roberts (1959), Control chart tests based on geometric moving averages, Technometrics 1.
    Lucas and Saccucci (1990), Exponentially weighted moving average control schemes, Technometrics 32.
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from core.arrays import FloatArray
from models.detect.calibration import STEEPEST
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import bounded
from models.series.robust import least_spread


@numba.njit(cache=True)
def ewma(values: FloatArray, start: float, weight: float, limit: float) -> FloatArray:
    """The average after each value; values further than `limit` from it count as if at that distance."""
    out = np.empty(values.size)
    state = start
    for i in range(values.size):
        if np.isnan(values[i]):
            out[i] = np.nan
            continue
        gap = min(max(values[i] - state, -limit), limit)
        state += weight * gap
        out[i] = state
    return out


@dataclass(frozen=True, slots=True)
class FittedEwma:
    """The long-run level and spread of the average, and where the average stands now."""

    weight: float
    center: float
    sigma: float
    limit: float
    state: float

    def score(self, values: FloatArray) -> FloatArray:
        """|average - centre| in its own standard deviations, range [0, inf)."""
        scores: FloatArray = (
            np.abs(ewma(bounded(values), self.state, self.weight, self.limit) - self.center) / self.sigma
        )
        return scores

    def update(self, values: FloatArray) -> "FittedEwma":
        after = ewma(bounded(values), self.state, self.weight, self.limit)
        known = after[np.isfinite(after)]
        if known.size == 0:
            return self
        return FittedEwma(self.weight, self.center, self.sigma, self.limit, float(known[-1]))

    def to_arrays(self) -> Arrays:
        return {"state": np.array([self.weight, self.center, self.sigma, self.limit, self.state])}


@dataclass(frozen=True, slots=True)
class Ewma:
    """An average with a memory of about `2 / weight` values.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    weight: float = 0.1
    least_spread: float = 0.0
    name: ClassVar[str] = "ewma"
    min_points: ClassVar[int] = 24
    max_tail_slope: ClassVar[float] = STEEPEST

    def fit(self, values: FloatArray) -> FittedEwma:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        center = float(np.median(known))
        spread = max(float(np.std(known)), self.least_spread, float(least_spread(known)))
        limit = 4.0 * spread
        smooth = ewma(known, center, self.weight, limit)
        # The spread is measured, not derived: neighbours in time are not independent.
        sigma = max(float(np.std(smooth)), 0.1 * self.weight * spread)
        return FittedEwma(self.weight, center, sigma, limit, float(smooth[-1]))

    def from_arrays(self, arrays: Arrays) -> FittedEwma:
        return FittedEwma(*map(float, arrays["state"]))
