"""What the common trees see of one step ahead of one series: numbers without a unit, so that all series are alike.

Beside lags, calendar and what kind of series it is, they see what each model of the pool says. Trees that see only
lags find again what the pool knows already; these learn when which model is to be believed.

References:
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5(2).
    Montero-Manso, P. et al. (2020). FFORMA: feature-based forecast model averaging. IJF 36(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray
from core.durations import DAY_S
from core.errors import InsufficientDataError
from models.forecast.pool.pool import POOL
from models.forecast.prepared import Prepared

#: Seasons ago of which the same phase is looked at.
SEASONS_AGO = (1, 2, 3, 4, 7, 8, 14)
#: Hours ago, as coarse steps, of which the level is looked at.
STEPS_AGO = (1, 2, 3, 4, 6, 12, 24)
#: Ranks from either end of the pool between which most of it agrees.
OUTSIDE = 3
HABIT = 7
WEEK_DAYS, EPOCH_WEEKDAY = 7, 3


@dataclass(frozen=True, slots=True)
class Rows:
    """One series at one moment, on the coarse grid of the pool.

    Attributes:
        table: float32 (steps, features); NaN = not known.
        middle: the median of the pool, (steps,): from here the trees tell how far the truth lies.
        unit: what one unit of that distance is worth; positive.
    """

    table: np.ndarray
    middle: FloatArray
    unit: float


def rows_of(ready: Prepared, told: Mapping[str, FloatArray], first_s: float, step_s: int) -> Rows:
    """What is known of each step ahead.

    Args:
        told: what each model of the pool says, on the series' own grid, all of one length.
        first_s: when the first step ahead is, seconds since 1970. step_s: of the series' own grid.
    Raises:
        InsufficientDataError: fewer than two seasons are known.
    """
    require_two_seasons(ready)
    past = ready.coarse
    season = ready.seasons[0] if ready.seasons else 1
    paths = np.stack([by_coarse(told[name], ready.factor) for name in POOL])
    steps = paths.shape[1]
    middle = np.median(paths, axis=0)
    unit = _unit(past, season)
    ranked = np.sort(paths, axis=0) - middle
    ahead = np.arange(steps)
    seconds = first_s + ahead * step_s * ready.factor
    columns = [*(paths - middle), ranked[OUTSIDE], ranked[-1 - OUTSIDE], paths.std(axis=0)]
    columns += [_ago(past, season, count, steps) - middle for count in SEASONS_AGO]
    alike = [(ahead + 1) / season, seconds % DAY_S / 3_600, (seconds // DAY_S + EPOCH_WEEKDAY) % WEEK_DAYS]
    table = [column / unit for column in columns] + alike
    table += [np.full(steps, value / unit) for value in _of_series(ready, season, middle)]
    return Rows(table=np.column_stack(table).astype(np.float32), middle=middle, unit=unit)


def require_two_seasons(ready: Prepared) -> None:
    """Raises: InsufficientDataError: the past is too short to be compared with itself."""
    season = ready.seasons[0] if ready.seasons else 1
    if len(ready.coarse) < 2 * season + max(STEPS_AGO):
        raise InsufficientDataError("the common trees need two seasons and a day of values")


def by_coarse(path: FloatArray, factor: int) -> FloatArray:
    """Means over coarse steps; the last one over what there is of it, NaN where nothing is known."""
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
    """The usual change from one season to the next, which is what MASE counts in."""
    change = float(np.mean(np.abs(past[season:] - past[:-season])))
    return change or float(np.std(past)) or max(abs(float(past[-1])), 1.0)


def _ago(past: FloatArray, season: int, count: int, steps: int) -> FloatArray:
    """The same phase `count` seasons ago, (steps,); NaN where that is not known."""
    if len(past) < count * season:
        return np.full(steps, np.nan)
    first = len(past) - count * season
    return np.resize(past[first : first + season], steps)


def _of_series(ready: Prepared, season: int, middle: FloatArray) -> list[float]:
    """Where the series stands and what kind of series it is, in units of its values."""
    past = ready.coarse
    day, before, usual = past[-season:], past[-2 * season : -season], past[-HABIT * season :]
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
