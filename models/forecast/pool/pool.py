"""The pool: fast models whose weighted median is the default forecast.

They are few and different on purpose. Where one of them is wrong (after a shift of level, on a weekend, a week after an
incident, under load that multiplies) others are right, and the median follows the majority at each hour. They were
chosen on hourly and 5-minute series of five kinds. Without any one of them the error grows by a percent or less.
"""

from collections.abc import Mapping

from models.forecast.pool.ridge import lags_of_last, lags_of_rest, lags_of_robust_rest
from models.forecast.pool.scales import on_log, on_root
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

POOL: Mapping[str, Course] = {
    "seasonal_naive": seasonal_naive,
    "longest_naive": longest_naive,
    "longest_moved": on_log(longest_moved),
    "seasonal_median": seasonal_median,
    "recent_median": recent_median,
    "level": level,
    "last_under_day": on_log(last_under_day),
    "level_under_day": on_log(level_under_day),
    "level_under_season": on_log(level_under_season),
    "drift_under_day": drift_under_day,
    "double_seasonal": on_root(double_seasonal),
    "double_seasonal_log": on_log(double_seasonal),
    "lags_of_last": on_log(lags_of_last),
    "lags_of_rest": on_log(lags_of_rest),
    "lags_of_robust_rest": on_log(lags_of_robust_rest),
}
