"""Intervals from the errors of past forecasts, and simulated paths with the same dependence between steps.

Errors are divided by their width (`widths`) and pooled, so that a few past moments give smooth intervals. Then the
quantiles are adjusted: each window is left out in turn, and intervals learned from the windows that do not overlap
with it must cover its values as often as promised (cross-conformal). Student's t accounts for the uncertainty of the
width, which is known from a limited number of independent errors.

This is done twice, with all past moments and with the newer half of them, and the quantiles are averaged: the long
memory has more data, the short one has the present behaviour of the series. On series that grow or fade, the long
memory alone covers 75 % where 80 % was promised.

References:
    Vovk, V. (2015). Cross-conformal predictors. Annals of Mathematics and AI 74.
    Barber, R. F. et al. (2021). Predictive inference with the jackknife+. Annals of Statistics 49(1).
    Chernozhukov, V., Wüthrich, K. and Zhu, Y. (2018). Exact and robust conformal inference methods for predictive
    machine learning with dependent data. COLT (blocks that do not overlap).
    Schefzik, R., Thorarinsdottir, T. and Gneiting, T. (2013). Uncertainty quantification in complex
    simulation models using ensemble copula coupling. Statistical Science 28(4).
    Lichtendahl, K. C., Grushka-Cockayne, Y. and Winkler, R. L. (2013). Is it better to average probabilities or
    quantiles? Management Science 59(7).
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from core.arrays import FloatArray
from models.forecast.intervals.widths import (
    PastErrors,
    Widths,
    effective_count,
    learn_widths,
    step_correlation,
)
from models.forecast.paths import ForecastPaths
from models.forecast.protocols import Bounds

#: Probabilities at which the quantiles of errors are stored.
PROBABILITIES: FloatArray = np.array(
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995]
)
LEVELS = (0.8, 0.95)
#: A window is tested if so many others do not overlap with it; the result is used if so many windows were tested.
LEAST_OTHERS, LEAST_TRIED = 1, 2
#: The short memory needs so many moments, and so many horizons between the first and the last, because windows that
#: overlap repeat the same information.
LEAST_NEWEST, LEAST_SPAN = 6, 2.5
#: Largest factor by which the test of windows may stretch the quantiles, because it has few windows.
STRETCH_REACH = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The distribution of some past errors.

    Attributes:
        widths: of the errors.
        quantiles: of the errors divided by their widths, at `PROBABILITIES`.
    """

    widths: Widths
    quantiles: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorModel:
    """The distribution of the errors of a forecast.

    Attributes:
        memories: a long one and, if there are enough past moments, a short one; their quantiles are averaged.
        rho: correlation of the errors of two neighbouring steps, 0 to 1.
    """

    memories: tuple[Memory, ...]
    rho: float

    def at(self, now: float, steps: int = 0) -> "ErrorModel":
        """The model some steps later, at the variability `now` (NaN = unknown): intervals adapt without a backtest."""
        moved = tuple(replace(one, widths=one.widths.at(now, steps)) for one in self.memories)
        return replace(self, memories=moved)

    def scaled(self, factor: float) -> "ErrorModel":
        """The model for errors that are `factor` times as large."""
        moved = tuple(
            replace(one, widths=replace(one.widths, scale=one.widths.scale * factor)) for one in self.memories
        )
        return replace(self, memories=moved)

    def interval(self, yhat: FloatArray, level: float, bounds: Bounds) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound of the interval that contains the true value with probability `level`."""
        low, high = np.zeros_like(yhat), np.zeros_like(yhat)
        for one in self.memories:
            width = one.widths.around(yhat) / len(self.memories)
            below, above = np.interp([(1 - level) / 2, (1 + level) / 2], PROBABILITIES, one.quantiles)
            low, high = low + min(below, 0.0) * width, high + max(above, 0.0) * width
        return bounds.clip(yhat + low), bounds.clip(yhat + high)

    def paths(self, yhat: FloatArray, count: int, bounds: Bounds, rng: np.random.Generator) -> ForecastPaths:
        """Simulated paths: each step has the distribution of the intervals, neighbours are correlated."""
        # Errors beyond the outermost quantiles are not simulated.
        low, high = self.interval(yhat, 1.0, bounds)
        return ForecastPaths.within(low, high, count, lambda: self._simulated(yhat, count, bounds, rng))

    def _simulated(
        self, yhat: FloatArray, count: int, bounds: Bounds, rng: np.random.Generator
    ) -> FloatArray:
        rank = ndtr(_correlated(rng.standard_normal((count, len(yhat))), self.rho))
        quantiles = np.stack([one.quantiles for one in self.memories])
        widths = np.stack([one.widths.around(yhat) for one in self.memories])
        return bounds.clip(_around(yhat, rank, quantiles, widths))


@numba.njit(cache=True, nogil=True)
def _correlated(noise: FloatArray, rho: float) -> FloatArray:
    """Standard normal numbers, (count, h), of which neighbours in a row have the correlation `rho`; in place."""
    fresh = np.sqrt(1.0 - rho**2)
    for row in range(noise.shape[0]):
        for step in range(1, noise.shape[1]):
            noise[row, step] = rho * noise[row, step - 1] + fresh * noise[row, step]
    return noise


@numba.njit(cache=True, nogil=True)
def _around(yhat: FloatArray, rank: FloatArray, quantiles: FloatArray, widths: FloatArray) -> FloatArray:
    """The values with these ranks among the errors, each memory's quantile by `np.interp`, (count, h).

    One search for each value serves all memories, which halves the time.

    Args:
        quantiles: (memories, `PROBABILITIES`).
        widths: (memories, h).
    """
    out = np.empty_like(rank)
    last = len(PROBABILITIES) - 1
    slopes = (quantiles[:, 1:] - quantiles[:, :-1]) / (PROBABILITIES[1:] - PROBABILITIES[:-1])
    for row in range(rank.shape[0]):
        for step in range(rank.shape[1]):
            at = rank[row, step]
            place = -1
            for probability in PROBABILITIES:
                place += at >= probability
            error = 0.0
            for memory in range(len(quantiles)):
                if place < 0:
                    quantile = quantiles[memory, 0]
                elif place == last or PROBABILITIES[place] == at:
                    quantile = quantiles[memory, place]
                else:
                    quantile = slopes[memory, place] * (at - PROBABILITIES[place]) + quantiles[memory, place]
                error += quantile * widths[memory, step]
            out[row, step] = yhat[step] + error / len(quantiles)
    return out


def fit_errors(past: PastErrors, *, floor: float, season: int = 1) -> ErrorModel:
    """Learn the error model from the errors of a backtest.

    Args:
        floor: the least width, such as the resolution of the values.
        season: the shortest one, in steps.
    """
    if not np.isfinite(past.errors).any():
        flat = Widths(scale=np.full(past.errors.shape[1], floor))
        return ErrorModel(memories=(Memory(widths=flat, quantiles=_normal_quantiles()),), rho=0.9)
    long, scaled = _remember(past, floor, season)
    newest = past.newest(len(past.origins) // 2)
    memories: tuple[Memory, ...] = (long,)
    enough = len(newest.origins) >= LEAST_NEWEST and np.isfinite(newest.errors).any()
    if enough and newest.origins[-1] - newest.origins[0] >= LEAST_SPAN * newest.errors.shape[1]:
        memories = (long, _remember(newest, floor, season)[0])
    return ErrorModel(memories=memories, rho=step_correlation(scaled))


def _remember(past: PastErrors, floor: float, season: int) -> tuple[Memory, FloatArray]:
    """Learn the distribution of errors; return it with the errors divided by their widths."""
    widths, scaled = learn_widths(past, floor=floor, season=season)
    doubtful = _student(PROBABILITIES, effective_count(scaled, past.origins))
    quantiles = np.quantile(scaled[np.isfinite(scaled)], doubtful)
    stretch = np.interp(
        np.abs(2 * PROBABILITIES - 1), (0.0, *LEVELS), (1.0, *_stretches(scaled, past.origins, doubtful))
    )
    return Memory(widths=widths, quantiles=_in_order(quantiles * stretch)), scaled


def wide_errors(known: FloatArray, horizon_steps: int, floor: float) -> ErrorModel:
    """The error model of a series that is too short for a backtest: a random walk with wide intervals.

    Args:
        known: the values, without NaN.
    """
    step = float(np.mean(np.abs(np.diff(known)))) if len(known) > 1 else 0.0
    # At least a tenth of the level, because a few equal values do not prove that the next one is equal.
    width = max(step, floor, 0.1 * float(np.max(np.abs(known), initial=0.0)))
    growth = np.sqrt(np.arange(1, horizon_steps + 1))
    alone = Memory(widths=Widths(scale=width * growth), quantiles=_normal_quantiles())
    return ErrorModel(memories=(alone,), rho=0.9)


def _student(probabilities: FloatArray, worth: float) -> FloatArray:
    """Probabilities further out, as in Student's t with `worth` degrees of freedom."""
    return np.asarray(ndtr(stdtrit(worth, probabilities)), dtype=np.float64)


def _in_order(quantiles: FloatArray) -> FloatArray:
    """Make the quantiles monotonic from the middle outwards."""
    middle = len(quantiles) // 2
    above = np.maximum.accumulate(quantiles[middle:])
    below = np.minimum.accumulate(quantiles[middle::-1])[::-1]
    return np.concatenate([below[:-1], above])


def _stretches(scaled: FloatArray, origins: tuple[int, ...], doubtful: FloatArray) -> tuple[float, ...]:
    """For each of `LEVELS`, the factor by which quantiles must be stretched to cover windows that were left out.

    Args:
        scaled: errors divided by their widths, (k, horizon); NaN = unknown.
        doubtful: from `_student`, for `PROBABILITIES`.
    """
    at = np.array(origins)
    inner = np.interp([(1 - level) / 2 for level in LEVELS], PROBABILITIES, doubtful)
    outer = np.interp([(1 + level) / 2 for level in LEVELS], PROBABILITIES, doubtful)
    tiny = np.finfo(np.float64).eps
    beyond: list[FloatArray] = []
    for row, window in enumerate(scaled):
        apart = np.abs(at - at[row]) >= scaled.shape[1]
        others = scaled[apart][np.isfinite(scaled[apart])]
        mine = window[np.isfinite(window)]
        # A window in which nothing is known tells nothing.
        if int(apart.sum()) < LEAST_OTHERS or not len(others) or not len(mine):
            continue
        edges = np.quantile(others, np.concatenate([inner, outer]))
        low, high = np.minimum(edges[: len(LEVELS)], -tiny), np.maximum(edges[len(LEVELS) :], tiny)
        beyond.append(np.maximum(mine[:, None] / low, mine[:, None] / high))
    if len(beyond) < LEAST_TRIED:
        return tuple(1.0 for _ in LEVELS)
    pooled = np.concatenate(beyond)
    found = [float(np.quantile(pooled[:, k], outer[k] - inner[k])) for k in range(len(LEVELS))]
    return tuple(float(np.clip(one, 1 / STRETCH_REACH, STRETCH_REACH)) for one in found)


def _normal_quantiles() -> FloatArray:
    # The mean absolute value of a standard normal is sqrt(2 / pi): the scale is a mean absolute error.
    return np.asarray(ndtri(PROBABILITIES) * np.sqrt(np.pi / 2), dtype=np.float64)
