"""Intervals from the errors that were really made: conformal, by horizon, and paths with the same dependence.

The errors of the backtest are scaled by how wide they are at each step ahead and pooled, so that a few
origins already give smooth intervals; the finite-sample correction of split conformal prediction keeps
them wide enough.

References:
    Lei, J. et al. (2018). Distribution-free predictive inference for regression. JASA 113.
    Schefzik, R., Thorarinsdottir, T. and Gneiting, T. (2013). Uncertainty quantification in complex
    simulation models using ensemble copula coupling. Statistical Science 28(4).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from models.forecasters.protocols import Bounds, FloatArray

#: Probabilities at which the error distribution is kept.
PROBABILITIES: FloatArray = np.array(
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995]
)
LEVELS = (0.8, 0.95)
#: The errors of a season after one origin are worth so many independent ones, for they last for hours; those
#: of a few hours are worth fewer.
INDEPENDENT, LEAST_INDEPENDENT = 4, 2
#: How far the width follows the unrest of the last seasons: 0 = not at all, 1 = in proportion.
FOLLOWS = 0.5
#: Seasons over which unrest is measured, and how far one stretch may differ from all of them.
UNREST_OVER = 7
UNREST_REACH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorModel:
    """How wrong a forecast is, by step ahead.

    Attributes:
        scale: width of the errors at each step ahead, length h, not falling.
        quantiles: of the scaled errors at `PROBABILITIES`.
        rho: correlation of the errors of two neighbouring steps, 0 to 1.
        calm: `unrest` of the series when this was measured; NaN = unknown.
    """

    scale: FloatArray
    quantiles: FloatArray
    rho: float
    calm: float = float("nan")

    def at_unrest(self, now: float) -> "ErrorModel":
        """The same for a time that is calmer or less calm: intervals adapt without a new backtest."""
        return replace(self, scale=self.scale * float(follow(now, np.array([self.calm]))[0]))

    def scale_at(self, horizon_steps: int) -> FloatArray:
        """Width by step; beyond what was measured it grows like a random walk's."""
        known = len(self.scale)
        if horizon_steps <= known:
            return self.scale[:horizon_steps]
        beyond = np.sqrt(np.arange(known + 1, horizon_steps + 1) / known)
        return np.concatenate([self.scale, self.scale[-1] * beyond])

    def interval(self, yhat: FloatArray, level: float, bounds: Bounds) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge that hold the truth with probability `level`."""
        scale = self.scale_at(len(yhat))
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], PROBABILITIES, self.quantiles)
        return bounds.clip(yhat + min(low, 0.0) * scale), bounds.clip(yhat + max(high, 0.0) * scale)

    def paths(self, yhat: FloatArray, count: int, bounds: Bounds, rng: np.random.Generator) -> FloatArray:
        """Courses, (count, h): each step has the interval's distribution, neighbours move together."""
        steps = len(yhat)
        noise = rng.standard_normal((count, steps))
        normal = np.empty_like(noise)
        normal[:, 0] = noise[:, 0]
        fresh = np.sqrt(1.0 - self.rho**2)
        for step in range(1, steps):
            normal[:, step] = self.rho * normal[:, step - 1] + fresh * noise[:, step]
        errors = np.interp(ndtr(normal), PROBABILITIES, self.quantiles)
        return bounds.clip(yhat + errors * self.scale_at(steps))


def unrest(values: FloatArray, season: int) -> float:
    """Mean change from one season to the next over the last ones; NaN where it is unknown.

    Args:
        values: up to the moment that is meant; NaN = missing.
    """
    recent = values[-UNREST_OVER * season :]
    changes = np.abs(recent[season:] - recent[:-season])
    known = np.isfinite(changes)
    return float(changes[known].mean()) if known.any() else float("nan")


def follow(now: float, then: FloatArray) -> FloatArray:
    """By what errors made at other times are to be multiplied to speak of now (locally weighted conformal).

    Args:
        now, then: `unrest`; where it is unknown the factor is 1.
    """
    known = then[np.isfinite(then)]
    if not np.isfinite(now) or not len(known):
        return np.ones(len(then))
    usual = float(np.mean(known))
    low, high = usual / UNREST_REACH, usual * UNREST_REACH
    if usual <= 0:
        return np.ones(len(then))
    filled = np.clip(np.where(np.isfinite(then), then, usual), low, high)
    return np.asarray((np.clip(now, low, high) / filled) ** FOLLOWS, dtype=np.float64)


def fit_errors(errors: FloatArray, *, floor: float, season: int = 1) -> ErrorModel:
    """The error model of a backtest.

    Args:
        errors: actual - yhat, (origins, horizon); NaN = unknown.
        floor: the least width that makes sense, such as the resolution of the values.
        season: the shortest one, in steps.
    """
    horizon_steps = errors.shape[1]
    known = np.isfinite(errors)
    if not known.any():
        return ErrorModel(scale=np.full(horizon_steps, floor), quantiles=_normal_quantiles(), rho=0.9)
    size = np.where(known, np.abs(errors), 0.0).sum(axis=0)
    count = known.sum(axis=0)
    by_step = np.divide(size, count, out=np.full(horizon_steps, np.nan), where=count > 0)
    scale = np.maximum(_smooth(by_step), floor)
    scaled = errors / scale
    pooled = np.sort(scaled[np.isfinite(scaled)])
    worth = min(INDEPENDENT, max(LEAST_INDEPENDENT, INDEPENDENT * horizon_steps // season))
    return ErrorModel(
        scale=scale, quantiles=_conformal(pooled, errors.shape[0] * worth), rho=_neighbours(scaled)
    )


def wide_errors(known: FloatArray, horizon_steps: int, floor: float) -> ErrorModel:
    """What to assume of a series that is too short for a backtest: a random walk, and wide.

    Args:
        known: the few values there are, without NaN.
    """
    step = float(np.mean(np.abs(np.diff(known)))) if len(known) > 1 else 0.0
    # A tenth of the level, for a handful of equal values says little about the next one.
    width = max(step, floor, 0.1 * float(np.max(np.abs(known), initial=0.0)))
    growth = np.sqrt(np.arange(1, horizon_steps + 1))
    return ErrorModel(scale=width * growth, quantiles=_normal_quantiles(), rho=0.9)


def _smooth(by_step: FloatArray) -> FloatArray:
    """Widths that do not fall with the step: a running mean, then the best non-falling fit."""
    steps = np.arange(len(by_step))
    known = np.isfinite(by_step)
    filled = np.interp(steps, steps[known], by_step[known])
    # Pool adjacent violators, written out because scikit-learn's takes longer to import than to run.
    level: list[float] = []
    weight: list[int] = []
    for value in filled:
        level.append(float(value))
        weight.append(1)
        while len(level) > 1 and level[-2] > level[-1]:
            total = weight[-2] + weight[-1]
            level[-2] = (level[-2] * weight[-2] + level[-1] * weight[-1]) / total
            weight[-2] = total
            del level[-1], weight[-1]
    return np.repeat(level, weight)


def _conformal(pooled: FloatArray, independent: int) -> FloatArray:
    """Quantiles moved outwards as split conformal does, for so many independent errors as there are."""
    step = 1.0 / (independent + 1)
    above = np.minimum(PROBABILITIES * (1 + step), 1.0)
    below = np.maximum(1 - (1 - PROBABILITIES) * (1 + step), 0.0)
    outward = np.where(PROBABILITIES > 0.5, above, np.where(PROBABILITIES < 0.5, below, PROBABILITIES))
    return np.asarray(np.quantile(pooled, outward), dtype=np.float64)


def _neighbours(scaled: FloatArray) -> float:
    first, second = scaled[:, :-1].ravel(), scaled[:, 1:].ravel()
    both = np.isfinite(first) & np.isfinite(second)
    if int(both.sum()) < 3:
        return 0.9
    first, second = first[both] - first[both].mean(), second[both] - second[both].mean()
    size = float(np.sqrt(np.dot(first, first) * np.dot(second, second)))
    return float(np.clip(np.dot(first, second) / size, 0.0, 0.995)) if size > 0 else 0.9


def _normal_quantiles() -> FloatArray:
    from scipy.special import ndtri

    # The mean absolute value of a standard normal is sqrt(2 / pi): the scale is a mean absolute error.
    return np.asarray(ndtri(PROBABILITIES) * np.sqrt(np.pi / 2), dtype=np.float64)
