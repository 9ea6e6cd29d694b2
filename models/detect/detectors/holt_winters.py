"""Triple exponential smoothing: level, trend and season follow the values; the score is the error of the forecast.

References:
    Winters (1960), Forecasting sales by exponentially weighted moving averages, Management Science 6.
    Gelper, Fried and Croux (2010), Robust forecasting with exponential and Holt-Winters smoothing, J. Forecasting 29
    (the clipped error, with which an outlier hardly changes level, trend and season).
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from core.arrays import FloatArray
from models.detect.calibration import STEEPEST
from models.detect.detectors.zscore import stored_before
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import bounded
from models.series.robust import least_spread

LEVEL, TREND, SIGMA, AT = 0, 1, 2, 3
_CLIP = 3.0
_MEMORY = 0.01


@numba.njit(cache=True, nogil=True)
def _run(state: FloatArray, season: FloatArray, values: FloatArray, rates: FloatArray) -> FloatArray:
    """Score each value and then learn it; changes `state` and `season`."""
    alpha, beta, gamma, least = rates
    out = np.full(values.size, np.nan)
    for i in range(values.size):
        slot = int(state[AT])
        state[AT] = (slot + 1) % season.size
        forecast = state[LEVEL] + state[TREND] + season[slot]
        if np.isnan(values[i]):
            state[LEVEL] += state[TREND]
            continue
        error = values[i] - forecast
        sigma = max(state[SIGMA], least)
        out[i] = abs(error) / sigma
        error = min(max(error, -_CLIP * sigma), _CLIP * sigma)
        # The mean absolute error of a normal is 0.8 of its standard deviation.
        state[SIGMA] += _MEMORY * (1.2533 * max(abs(error), 1e-3 * sigma) - state[SIGMA])
        level = state[LEVEL] + state[TREND] + alpha * error
        state[TREND] += beta * (level - state[LEVEL] - state[TREND])
        state[LEVEL] = level
        season[slot] += gamma * error
    return out


@dataclass(frozen=True, slots=True, eq=False)
class FittedHoltWinters:
    """The present level, trend, season and usual error.

    Attributes:
        rates: how fast level, trend and season follow, and the least usual error.
    """

    state: FloatArray
    season: FloatArray
    rates: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """|value - forecast of it| in the usual error, range [0, inf)."""
        return np.asarray(_run(self.state.copy(), self.season.copy(), bounded(values), self.rates))

    def update(self, values: FloatArray) -> "FittedHoltWinters":
        state, season = self.state.copy(), self.season.copy()
        _run(state, season, bounded(values), self.rates)
        return FittedHoltWinters(state, season, self.rates)

    def to_arrays(self) -> Arrays:
        return {"state": self.state, "season": self.season, "rates": self.rates}


@dataclass(frozen=True, slots=True)
class HoltWinters:
    """Additive season of `period` steps; 1 means none.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    period: int = 1
    alpha: float = 0.2
    beta: float = 0.01
    gamma: float = 0.1
    least_spread: float = 0.0
    name: ClassVar[str] = "holt_winters"
    min_points: ClassVar[int] = 24
    max_tail_slope: ClassVar[float] = STEEPEST

    def fit(self, values: FloatArray) -> FittedHoltWinters:
        """See `models.detect.protocols.Detector.fit`; with less than two periods the season stays flat."""
        known = require_points(values, self.min_points, self.name)
        season = np.zeros(self.period)
        level = float(np.median(known))
        if self.period > 1 and values.size >= 2 * self.period:
            whole = bounded(values)[: values.size // self.period * self.period].reshape(-1, self.period)
            counts = np.isfinite(whole).sum(axis=0)
            season = np.where(counts > 0, np.nansum(whole, axis=0) / np.maximum(counts, 1), level) - level
        least = max(self.least_spread, float(least_spread(known)))
        spread = max(float(np.std(known - season[0])), least)
        rates = np.array([self.alpha, self.beta, self.gamma if self.period > 1 else 0.0, least])
        return FittedHoltWinters(np.array([level, 0.0, spread, 0.0]), season, rates).update(values)

    def from_arrays(self, arrays: Arrays) -> FittedHoltWinters:
        rates = arrays["rates"]
        if rates.size == 3:
            rates = np.append(rates, stored_before(float(arrays["state"][LEVEL])))
        return FittedHoltWinters(arrays["state"], arrays["season"], rates)
