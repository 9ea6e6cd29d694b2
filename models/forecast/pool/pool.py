"""The pool: fast models whose weighted median is the default forecast.

They are few and different on purpose. Where one of them is wrong (after a shift of level, on a weekend, a week after an
incident, under load that multiplies) others are right, and the median follows the majority at each hour. They were
chosen on hourly and 5-minute series of five kinds. Without any one of them the error grows by a percent or less.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.arrays import FloatArray
from models.forecast.pool.ridge import lags_of_last, lags_of_rest, lags_of_robust_rest
from models.forecast.pool.scales import Scale, Scaled, as_is, logarithm, square_root
from models.forecast.pool.seasonal_naive import (
    longest_moved,
    longest_naive,
    recent_median,
    seasonal_median,
    seasonal_naive,
)
from models.forecast.pool.smoothing import (
    double_seasonal,
    drift_under_day,
    last_under_day,
    level,
    level_under_day,
    level_under_season,
)
from models.forecast.protocols import Course


@dataclass(frozen=True, slots=True)
class Member:
    """A course on its scale; it is a course, too."""

    course: Course
    scale: Scale = as_is

    def __call__(self, values: FloatArray, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
        return self.on(self.scale(values), seasons, horizon_steps)

    def on(self, scaled: Scaled, seasons: tuple[int, ...], horizon_steps: int) -> FloatArray:
        """The forecast from values that are on the scale already."""
        return scaled.back(self.course(scaled.values, seasons, horizon_steps))


POOL: Mapping[str, Member] = {
    "seasonal_naive": Member(seasonal_naive),
    "longest_naive": Member(longest_naive),
    "longest_moved": Member(longest_moved, logarithm),
    "seasonal_median": Member(seasonal_median),
    "recent_median": Member(recent_median),
    "level": Member(level),
    "last_under_day": Member(last_under_day, logarithm),
    "level_under_day": Member(level_under_day, logarithm),
    "level_under_season": Member(level_under_season, logarithm),
    "drift_under_day": Member(drift_under_day),
    "double_seasonal": Member(double_seasonal, square_root),
    "double_seasonal_log": Member(double_seasonal, logarithm),
    "lags_of_last": Member(lags_of_last, logarithm),
    "lags_of_rest": Member(lags_of_rest, logarithm),
    "lags_of_robust_rest": Member(lags_of_robust_rest, logarithm),
}
