"""When each resource runs out at its present growth, up to 90 days ahead.

The hours of a day say nothing here, so the series is taken by days (their highest hour), and courses are
drawn from what it really did from one day to the next: weeks of such steps are drawn as a whole, so that a
weekend stays a weekend, and each course has a growth of its own, for a month of history does not know it well.
What runs out within a day is not seen by days: there the outlook by hours counts, from which alerts come as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.domain import CAPACITY_DAYS, Breach, Series, TimeRange
from models.breach.growth_and_paths import breach_of
from models.breach.outlook import BreachPattern, Outlook
from models.forecast.protocols import Bounds, FloatArray, History
from models.series.thresholds import is_upward, threshold_of

DAY_S = 86_400
PATHS = 500
#: Fewer days than this say nothing about growth.
LEAST_DAYS = 7
BLOCK_DAYS = 7
#: However straight the past, growth itself changes over months: by a tenth, one time in three more.
GROWTH_CHANGES = 0.1
#: What runs out more likely than not has a time at which it does.
LIKELY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """One resource.

    Attributes:
        level: the newest of `peaks`.
        used: that as a share of the threshold.
        per_day: growth a day, in units of the values and signed as they are: the median of the days, or the pace of
            what is filling up within the day.
        peaks: the highest hour of each of the past days, the last of which ends now; the lowest where too little is
            the trouble.
        fan: day ahead -> P10, P50, P90 of the level as the days go, (days, 3).
    """

    series: Series
    level: float
    used: float
    per_day: float
    breach: Breach
    peaks: FloatArray
    fan: FloatArray

    @property
    def runs_out(self) -> TimeRange | None:
        """When; null where it more likely does not within the days that were asked for."""
        return self.breach.when if self.breach.probability >= LIKELY else None


def daily_peaks(history: History, *, upward: bool = True) -> FloatArray:
    """The highest value of each whole day before now, or the lowest; days without values are left out."""
    steps = DAY_S // history.step_s
    days = len(history) // steps
    table = history.values[len(history) - days * steps :].reshape(days, steps)
    known = np.isfinite(table).any(axis=1)
    table = table[known]
    return np.asarray(np.nanmax(table, axis=1) if upward else np.nanmin(table, axis=1), dtype=np.float64)


def robust_growth(peaks: FloatArray) -> float:
    """The median of the slopes between all pairs of days: an incident of a few days does not turn it.

    References:
        Sen, P. K. (1968). Estimates of the regression coefficient based on Kendall's tau. JASA 63.
    """
    first, second = np.triu_indices(len(peaks), k=1)
    return float(np.median((peaks[second] - peaks[first]) / (second - first)))


def daily_paths(
    peaks: FloatArray, days: int, count: int, bounds: Bounds, rng: np.random.Generator
) -> FloatArray:
    """Courses by day, (count, days).

    References:
        Künsch, H. R. (1989). The jackknife and the bootstrap for general stationary observations. Annals of
        Statistics 17(3).
    """
    growth = robust_growth(peaks)
    steps = np.diff(peaks)
    # A reset or an incident in the month is kept as what it is, one day's move, but not as growth.
    rest = steps - np.mean(steps)
    block = min(BLOCK_DAYS, len(rest))
    blocks = -(-days // block)
    starts = rng.integers(0, len(rest) - block + 1, (count, blocks))
    drawn = rest[(starts[:, :, None] + np.arange(block)).reshape(count, -1)][:, :days]
    # Moves of a series that returns to its course do not add up; what is left of them is the noise of a day.
    lasting = _lasting_share(peaks, growth)
    walk = np.cumsum(drawn, axis=1) * lasting + drawn * (1 - lasting)
    spread = float(np.std(rest)) * lasting / np.sqrt(len(rest)) + _slope_error(peaks, growth)
    spread += GROWTH_CHANGES * abs(growth)
    slope = growth + spread * rng.standard_normal((count, 1))
    level = float(np.median(peaks[-3:] - growth * np.arange(-min(3, len(peaks)) + 1, 1)))
    return bounds.clip(level + slope * np.arange(1, days + 1) + walk)


def _lasting_share(peaks: FloatArray, growth: float) -> float:
    """How much of one day's move is still there the next day, 0 to 1."""
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
    outlook: Outlook | None = None,
) -> Capacity | None:
    """When the resource runs out; null where it has no threshold or less than a week of history.

    Args:
        outlook: of the next hours, at the same moment; null: only the days count.
    """
    threshold = threshold_of(series)
    if threshold is None or threshold == 0:
        return None
    upward = is_upward(series)
    peaks = daily_peaks(history, upward=upward)
    if len(peaks) < LEAST_DAYS:
        return None
    rng = np.random.default_rng([seed, series.series_id % 2**32, 90])
    paths = daily_paths(peaks, horizon_days, PATHS, history.bounds, rng)
    level, per_day = float(peaks[-1]), robust_growth(peaks)
    # What was over in the last day may have been emptied since.
    newest = level if outlook is None else outlook.level
    breach = breach_of(paths, level=newest, threshold=threshold, upward=upward, at=at, step_s=DAY_S)
    if outlook is not None and outlook.breach.probability >= LIKELY:
        probability = max(breach.probability, outlook.breach.probability)
        breach = replace(breach, probability=probability, when=outlook.breach.when)
        if outlook.pattern is BreachPattern.FILL:
            per_day = 24 * outlook.growth.per_hour
    return Capacity(
        series=series,
        level=level,
        used=level / threshold,
        per_day=per_day,
        breach=breach,
        peaks=peaks,
        fan=np.percentile(paths, [10, 50, 90], axis=0).T,
    )


def by_urgency(found: Sequence[Capacity]) -> list[Capacity]:
    """What likely runs out first comes first; then what is most likely to, then what is fullest."""

    def key(one: Capacity) -> tuple[bool, float, float, float, str]:
        when = one.runs_out
        seconds = 0.0 if when is None else when.p50.timestamp()
        return (when is None, seconds, -one.breach.probability, -one.used, one.series.name)

    return sorted(found, key=key)
