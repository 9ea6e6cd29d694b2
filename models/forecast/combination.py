"""A robust combination of forecasts: the weighted median of the members at each step.

The median follows the majority, so a member that is wrong at some hours does not move the forecast there. Members with
smaller errors on the series have larger weights.

References:
    Timmermann, A. (2006). Forecast combinations. Handbook of Economic Forecasting 1, chapter 4.
    Petropoulos, F. and Svetunkov, I. (2020). A simple combination of univariate models. IJF 36(1).
    Bates, J. M. and Granger, C. W. J. (1969). The combination of forecasts. OR Quarterly 20(4).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatArray
from models.forecast.backtest import Backtest


def weigh(mae: Mapping[str, float]) -> dict[str, float]:
    """Weights by the inverse of the squared mean absolute error (Bates and Granger).

    Args:
        mae: member -> mean absolute error in the backtest, not negative.
    Returns:
        Member -> weight; the weights add up to 1.
    """
    best = min(mae.values())
    if best <= 0:
        winners = [name for name, error in mae.items() if error <= 0]
        return {name: 1.0 / len(winners) for name in winners}
    shares = {name: (best / error) ** 2 for name, error in mae.items()}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def mean_errors(test: Backtest, rows: slice | NDArray[np.intp] = slice(None)) -> dict[str, float]:
    """Member -> mean absolute error over some of the origins; without members that have no known error there."""
    found: dict[str, float] = {}
    for name in test.yhat:
        errors = np.abs(test.errors(name)[rows])
        known = np.isfinite(errors)
        if known.any():
            found[name] = float(errors[known].mean())
    return found


def combine(yhat: Mapping[str, FloatArray], weights: Mapping[str, float]) -> FloatArray:
    """The weighted median of the members at each step, interpolated between two members.

    Args:
        yhat: member -> its forecast, all of one length; members without a weight are ignored.
        weights: member -> weight; members without a forecast are ignored.
    """
    # Sorted, because sums of floats depend on the order, and a loaded bundle must give the same forecast to the last
    # bit.
    names = sorted(name for name in weights if name in yhat and weights[name] > 0)
    if len(names) == 1:
        return yhat[names[0]]
    paths = np.stack([yhat[name] for name in names])
    order = np.argsort(paths, axis=0, kind="stable")
    ranked = np.take_along_axis(paths, order, axis=0)
    share = np.array([weights[name] for name in names])[order]
    middle = (np.cumsum(share, axis=0) - share / 2) / share.sum(axis=0)
    above = np.argmax(middle >= 0.5, axis=0)
    # If one member has more than half of the weight, its centre may lie beyond the middle at either end.
    above = np.where(middle[-1] < 0.5, len(names) - 1, above)
    below = np.maximum(above - 1, 0)
    columns = np.arange(paths.shape[1])
    low, high = middle[below, columns], middle[above, columns]
    part = np.divide(0.5 - low, high - low, out=np.ones_like(low), where=high > low)
    first, second = ranked[below, columns], ranked[above, columns]
    return np.asarray(first + np.clip(part, 0.0, 1.0) * (second - first), dtype=np.float64)


def left_out(test: Backtest, weigh_by: int) -> FloatArray:
    """The combined forecast of each origin, (origins, horizon), weighted by the errors at the origins nearest to it.

    Origins whose windows overlap with its own are left out, if enough others remain. If only earlier origins gave the
    weights, the first origins would have poor weights, and larger errors than a forecast from now will have.

    References:
        Barber, R. F. et al. (2021). Predictive inference with the jackknife+. Annals of Statistics 49(1).
    """
    at = np.array(test.origins)
    rows = []
    for row in range(len(at)):
        away = np.abs(at - at[row])
        apart = np.flatnonzero(away >= test.actual.shape[1])
        others = apart if 2 * len(apart) >= weigh_by else np.flatnonzero(away > 0)
        nearest = others[np.argsort(away[others], kind="stable")[:weigh_by]]
        known = mean_errors(test, nearest) if len(nearest) else {}
        weights = weigh(known) if known else dict.fromkeys(test.yhat, 1.0)
        rows.append(combine({name: paths[row] for name, paths in test.yhat.items()}, weights))
    return np.stack(rows)
