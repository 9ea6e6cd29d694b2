"""The features of the fleet model for one step ahead of one series: numbers without a unit, comparable over series.

They are lags, the calendar, the kind of series, and the forecasts of the pool. Trees that have only lags learn again
what the pool predicts already; with the forecasts they learn which member is right in which situation.

References:
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5(2).
    Montero-Manso, P. et al. (2020). FFORMA: feature-based forecast model averaging. IJF 36(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray, repeated
from core.durations import DAY_S
from core.errors import InsufficientDataError
from models.forecast.pool.pool import POOL
from models.forecast.prepared import Prepared
from models.series.robust import middle_of

#: The same phase so many seasons ago is a feature.
SEASONS_AGO = (1, 2, 3, 4, 7, 8, 14)
#: The level so many coarse steps (hours) ago is a feature.
STEPS_AGO = (1, 2, 3, 4, 6, 12, 24)
#: Number of members on either side of the range in which most of the pool agrees.
RANKS_OUTSIDE = 3
RECENT_SEASONS = 7
WEEK_DAYS, EPOCH_WEEKDAY = 7, 3


@dataclass(frozen=True, slots=True)
class Rows:
    """The features of one series at one moment, on the coarse grid of the pool.

    Attributes:
        table: float32 (steps, features); NaN = unknown.
        middle: the median of the pool, (steps,); the trees predict the distance of the true value from it.
        unit: the unit of that distance, in units of the values; positive.
    """

    table: np.ndarray
    middle: FloatArray
    unit: float


def rows_of(ready: Prepared, pool_forecasts: Mapping[str, FloatArray], first_s: float, step_s: int) -> Rows:
    """Compute the features of each step ahead.

    Args:
        pool_forecasts: member of the pool -> its forecast on the grid of the series, all of one length.
        first_s: epoch seconds of the first step ahead.
        step_s: of the grid of the series.
    Raises:
        InsufficientDataError: the history is shorter than two seasons.
    """
    require_two_seasons(ready)
    past = ready.coarse
    season = ready.seasons[0] if ready.seasons else 1
    paths = np.stack([by_coarse(pool_forecasts[name], ready.factor) for name in POOL])
    steps = paths.shape[1]
    middle = middle_of(paths)
    unit = _unit(past, season)
    ranked = np.sort(paths, axis=0) - middle
    ahead = np.arange(steps)
    seconds = first_s + ahead * step_s * ready.factor
    columns = [*(paths - middle), ranked[RANKS_OUTSIDE], ranked[-1 - RANKS_OUTSIDE], paths.std(axis=0)]
    columns += [_ago(past, season, count, steps) - middle for count in SEASONS_AGO]
    calendar = [(ahead + 1) / season, seconds % DAY_S / 3_600, (seconds // DAY_S + EPOCH_WEEKDAY) % WEEK_DAYS]
    table = [column / unit for column in columns] + calendar
    table += [np.full(steps, value / unit) for value in _series_features(ready, season, middle)]
    return Rows(table=np.column_stack(table).astype(np.float32), middle=middle, unit=unit)


def require_two_seasons(ready: Prepared) -> None:
    """Check that a history is long enough for the features.

    Raises:
        InsufficientDataError: it is shorter than two seasons and a day.
    """
    season = ready.seasons[0] if ready.seasons else 1
    if len(ready.coarse) < 2 * season + max(STEPS_AGO):
        raise InsufficientDataError("the fleet model needs two seasons and a day of values")


def by_coarse(path: FloatArray, factor: int) -> FloatArray:
    """Means over coarse steps, the last one over the steps that exist; NaN where no value is known."""
    if factor == 1:
        return path
    steps = -(-len(path) // factor)
    padded = np.full(steps * factor, np.nan)
    padded[: len(path)] = path
    parts = padded.reshape(steps, factor)
    known = np.isfinite(parts)
    total = np.where(known, parts, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(steps, np.nan), where=count > 0), dtype=np.float64)


def _unit(past: FloatArray, season: int) -> float:
    """The mean change from one season to the next, which is also the unit of MASE; positive."""
    change = float(np.mean(np.abs(past[season:] - past[:-season])))
    return change or float(np.std(past)) or max(abs(float(past[-1])), 1.0)


def _ago(past: FloatArray, season: int, count: int, steps: int) -> FloatArray:
    """The values at the same phase `count` seasons ago, (steps,); NaN if they are unknown."""
    if len(past) < count * season:
        return np.full(steps, np.nan)
    first = len(past) - count * season
    return repeated(past[first : first + season], steps)


def _series_features(ready: Prepared, season: int, middle: FloatArray) -> list[float]:
    """The present level of the series and its kind, in the unit of its values."""
    past = ready.coarse
    day, before, usual = past[-season:], past[-2 * season : -season], past[-RECENT_SEASONS * season :]
    mean = float(day.mean())
    long = ready.seasons[-1] if ready.seasons else 1
    weekly = (
        float(np.mean(np.abs(past[long:] - past[:-long])[-long:])) if len(past) > long + season else np.nan
    )
    return [
        *(float(past[-ago] - middle[0]) for ago in STEPS_AGO),
        float(ready.values[-1] - middle[0]),
        float(day[-1] - before[-1]),
        float(day[-3:].mean() - before[-3:].mean()),
        mean - float(before.mean()),
        mean - float(usual.mean()),
        mean - float(past.mean()),
        float(middle[:season].mean()) - mean,
        float(past.std()),
        float(day.std()),
        float(np.abs(np.diff(usual)).mean()),
        float(np.abs(usual[season:] - usual[:-season]).mean()) if len(usual) > season else np.nan,
        weekly,
        mean,
    ]
