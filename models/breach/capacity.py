"""Predicts when each resource runs out at its present growth, up to 90 days ahead.

The time of day does not matter here, so the series is reduced to its highest hour of each day (the lowest, if low is
bad). Future paths are built from the moves that it really made from one day to the next. Whole weeks of moves are
drawn, so that weekends stay weekends. Each path has its own growth, because a month of history does not determine the
growth well. Days are too coarse for a resource that runs out within a day: there the hourly outlook counts, which
alerts use as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.arrays import FloatArray
from core.domain import CAPACITY_DAYS, Breach, Series, TimeRange
from core.durations import DAY_S
from models.breach.outlook import BreachOutlook, BreachPattern
from models.breach.paths import SimulatedPaths
from models.forecast.protocols import History
from models.series.magnitude import from_ordinary, scaled_number
from models.series.thresholds import breach_threshold_of, is_upward, used_share

PATHS = 500
#: Fewer days than this do not show the growth.
LEAST_DAYS = 7
BLOCK_DAYS = 7
#: Growth changes over months, however straight the past: standard deviation as a share of the growth.
GROWTH_CHANGES = 0.1
#: From this probability on, a predicted time is shown.
LIKELY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The capacity of one resource.

    Attributes:
        level: the newest of `peaks`, in the unit of the series.
        used: `level` as a share of the threshold, in [0, 1]; null if unknown, see `used_share`.
        per_day: growth per day in the unit of the series, negative = falling: the median of the days, or the present
            rate if the resource fills within the day.
        breach: when it crosses its threshold.
        peaks: the highest hour of each past day, the last of which ends now; the lowest hour if low values are bad.
        fan: (days, 3), P10, P50 and P90 of the level on each day ahead.
    """

    series: Series
    level: float
    used: float | None
    per_day: float
    breach: Breach
    peaks: FloatArray
    fan: FloatArray

    @property
    def runs_out(self) -> TimeRange | None:
        """When the resource runs out; null if it probably does not within the horizon."""
        return self.breach.when if self.breach.probability >= LIKELY else None

    def scaled(self, exponent: int) -> "Capacity":
        """The same capacity of the values multiplied by 2**exponent. The used share is the same."""
        if exponent == 0:
            return self
        return replace(
            self,
            level=scaled_number(self.level, exponent),
            per_day=scaled_number(self.per_day, exponent),
            breach=replace(self.breach, threshold=scaled_number(self.breach.threshold, exponent)),
            peaks=from_ordinary(self.peaks, exponent),
            fan=from_ordinary(self.fan, exponent),
        )

    def mirrored(self) -> "Capacity":
        """The same capacity with the opposite sign. The used share is the same."""
        return replace(
            self,
            level=0.0 - self.level,
            per_day=0.0 - self.per_day,
            breach=replace(self.breach, threshold=0.0 - self.breach.threshold),
            peaks=0.0 - self.peaks,
            fan=0.0 - self.fan[:, ::-1],
        )


def daily_peaks(history: History) -> FloatArray:
    """The highest value of each whole day before now; days without values are left out."""
    steps = DAY_S // history.step_s
    days = len(history) // steps
    table = history.values[len(history) - days * steps :].reshape(days, steps)
    known = np.isfinite(table).any(axis=1)
    table = table[known]
    return np.asarray(np.nanmax(table, axis=1), dtype=np.float64)


def robust_growth(peaks: FloatArray) -> float:
    """The median of the slopes between all pairs of days, per day. An incident of a few days does not change it.

    References:
        Sen, P. K. (1968). Estimates of the regression coefficient based on Kendall's tau. JASA 63.
    """
    first, second = np.triu_indices(len(peaks), k=1)
    return float(np.median((peaks[second] - peaks[first]) / (second - first)))


def daily_paths(peaks: FloatArray, days: int, count: int, rng: np.random.Generator) -> FloatArray:
    """Simulate paths by day from the moves of the past.

    Args:
        peaks: one value per past day.
        days: length of the paths.
        count: number of paths.
    Returns:
        (count, days).

    References:
        Künsch, H. R. (1989). The jackknife and the bootstrap for general stationary observations. Annals of
        Statistics 17(3).
    """
    growth = robust_growth(peaks)
    steps = np.diff(peaks)
    # A reset or an incident in the month counts as a move of one day, but not as growth.
    rest = steps - np.mean(steps)
    block = min(BLOCK_DAYS, len(rest))
    blocks = -(-days // block)
    starts = rng.integers(0, len(rest) - block + 1, (count, blocks))
    drawn = rest[(starts[:, :, None] + np.arange(block)).reshape(count, -1)][:, :days]
    # If a series returns to its course after a move, moves do not add up. They are noise of single days.
    lasting = _lasting_share(peaks, growth)
    walk = np.cumsum(drawn, axis=1) * lasting + drawn * (1 - lasting)
    spread = float(np.std(rest)) * lasting / np.sqrt(len(rest)) + _slope_error(peaks, growth)
    spread += GROWTH_CHANGES * abs(growth)
    slope = growth + spread * rng.standard_normal((count, 1))
    level = float(np.median(peaks[-3:] - growth * np.arange(-min(3, len(peaks)) + 1, 1)))
    return np.asarray(level + slope * np.arange(1, days + 1) + walk)


def _lasting_share(peaks: FloatArray, growth: float) -> float:
    """The share of one day's move that is still there the next day, in [0, 1]."""
    away = peaks - growth * np.arange(len(peaks))
    away = away - np.mean(away)
    total = float(np.dot(away, away))
    return float(np.clip(np.dot(away[1:], away[:-1]) / total, 0.0, 1.0)) if total > 0 else 0.0


def _slope_error(peaks: FloatArray, growth: float) -> float:
    """Standard error of a line's slope through the peaks."""
    days = np.arange(len(peaks)) - (len(peaks) - 1) / 2
    away = peaks - growth * np.arange(len(peaks))
    return float(np.std(away) / np.sqrt(np.sum(days**2)))


def plan_capacity(
    series: Series,
    history: History,
    *,
    at: datetime,
    seed: int,
    horizon_days: int = CAPACITY_DAYS,
    outlook: BreachOutlook | None = None,
) -> Capacity | None:
    """Predict when the resource runs out.

    Args:
        series: with its threshold or limit.
        history: by hour, of several weeks.
        at: the present.
        seed: of the simulated paths.
        horizon_days: days ahead.
        outlook: hourly outlook at the same moment; null = use only the days.
    Returns:
        null if the series has no threshold or less than a week of history.
    """
    threshold = breach_threshold_of(series)
    if threshold is None:
        return None
    upward, exponent = is_upward(series), history.exponent
    # In the units of the history, in which nothing overflows.
    threshold = scaled_number(threshold, -exponent)
    outlook = None if outlook is None else outlook.scaled(-exponent)
    # Negation is exact, so that a series for which low is bad gets exactly the plan of its mirror image.
    crossed = threshold if upward else 0.0 - threshold
    past = history if upward else history.mirrored()
    present = outlook if upward or outlook is None else outlook.mirrored()
    peaks = daily_peaks(past)
    if len(peaks) < LEAST_DAYS:
        return None
    rng = np.random.default_rng([seed, series.series_id % 2**32, 90])
    paths = daily_paths(peaks, horizon_days, PATHS, rng)
    level, per_day = float(peaks[-1]), robust_growth(peaks)
    # A resource that was over in the last day may have been emptied since.
    newest = level if present is None else present.level
    simulated = SimulatedPaths.of(paths, level=newest, at=at, step_s=DAY_S, bounds=past.bounds)
    breach = simulated.breach(crossed)
    if present is not None and present.breach.probability >= LIKELY:
        probability = max(breach.probability, present.breach.probability)
        breach = replace(breach, probability=probability, when=present.breach.when)
        if present.pattern is BreachPattern.FILL:
            per_day = 24 * present.growth.per_hour
    found = Capacity(
        series=series,
        level=level,
        used=used_share(series, scaled_number(level, exponent)),
        per_day=per_day,
        breach=breach,
        peaks=peaks,
        fan=np.percentile(simulated.possible(), [10, 50, 90], axis=0).T,
    )
    return (found if upward else found.mirrored()).scaled(exponent)


def by_urgency(found: Sequence[Capacity]) -> list[Capacity]:
    """Sort: first by the time at which a resource probably runs out, then by probability, then by used share."""

    def key(one: Capacity) -> tuple[bool, float, float, float, str]:
        when = one.runs_out
        seconds = 0.0 if when is None else when.p50.timestamp()
        return (when is None, seconds, -one.breach.probability, -(one.used or 0.0), one.series.name)

    return sorted(found, key=key)
