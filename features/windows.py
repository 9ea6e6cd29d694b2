"""The families of window features: each a pure expression of one column that looks only back.

A window is a number of steps and ends at the present one. Missing values are skipped; a window with fewer than
half of its values answers null. The same expression serves a fleet's history and its newest moment.
"""

import polars as pl

#: Slopes and differences are told a day ahead at most; a limit further off than that is "not soon".
HOURS_CAP = 48.0


def mean(column: pl.Expr, steps: int) -> pl.Expr:
    """Mean of the last `steps` values, in the unit of the column."""
    return column.rolling_mean(steps, min_samples=max(1, steps // 2))


def slope_per_h(column: pl.Expr, steps: int, steps_per_h: float) -> pl.Expr:
    """Rise an hour: the mean of the last third of the window less that of its first third.

    A line through the means of the outer thirds uses 8/9 of the information of least squares on white noise
    and is hardly moved by a single value.

    References:
        Bartlett, M. S. (1949). Fitting a straight line when both variables are subject to error. Biometrics 5(3).
    """
    third = max(1, steps // 3)
    late = mean(column, third)
    apart_h = (steps - third) / steps_per_h
    return (late - late.shift(steps - third)) / apart_h


def change_per_h(slope: pl.Expr, steps: int, steps_per_h: float) -> pl.Expr:
    """How much a slope over `steps` has changed since the window before, an hour: > 0 where it speeds up."""
    return (slope - slope.shift(steps)) / (steps / steps_per_h)


def spread(column: pl.Expr, steps: int) -> pl.Expr:
    """Standard deviation of the last `steps` values, in the unit of the column; >= 0."""
    return column.rolling_std(steps, min_samples=max(2, steps // 2)).clip(lower_bound=0.0)


def usual_at_this_time(column: pl.Expr, steps_per_day: int, days: int) -> pl.Expr:
    """Mean of the same time of day over the last `days` days, today left out; null on the first day."""
    return pl.mean_horizontal([column.shift(day * steps_per_day) for day in range(1, days + 1)])


def deviation(level: pl.Expr, usual: pl.Expr, scale: pl.Expr, floor: float) -> pl.Expr:
    """How many scales the level is above its usual value; a scale under `floor` counts as `floor`."""
    return ((level - usual) / scale.clip(lower_bound=floor)).clip(-50.0, 50.0)


def times_usual(value: pl.Expr, steps_per_day: int, days: int, floor: float) -> pl.Expr:
    """The value as a multiple of its usual size (root mean square over `days`, the last day left out)."""
    square = (value * value).shift(steps_per_day)
    usual = (
        square.rolling_mean(days * steps_per_day, min_samples=steps_per_day // 2).clip(lower_bound=0.0).sqrt()
    )
    return (value / usual.clip(lower_bound=floor)).clip(-100.0, 100.0)


def above_ceiling(level: pl.Expr, steps_per_day: int, days: int) -> pl.Expr:
    """How far the level is above the highest of the last `days`, the last day left out; < 0 below it."""
    ceiling = level.shift(steps_per_day).rolling_max(days * steps_per_day, min_samples=steps_per_day // 2)
    return level - ceiling


def rise_from_low(level: pl.Expr, steps: int) -> pl.Expr:
    """How far the level is above the lowest of the last `steps`; >= 0."""
    return level - level.rolling_min(steps, min_samples=max(1, steps // 4))


def hours_to_limit(level: pl.Expr, slope: pl.Expr) -> pl.Expr:
    """Hours until a share of 1 at the present slope, in [0, HOURS_CAP]; HOURS_CAP where it does not rise."""
    rising = slope > 1e-9
    hours = ((1.0 - level) / pl.when(rising).then(slope)).clip(0.0, HOURS_CAP)
    return pl.when(level.is_null() | slope.is_null()).then(None).otherwise(hours.fill_null(HOURS_CAP))
