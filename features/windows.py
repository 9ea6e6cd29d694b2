"""The families of window features: each a pure expression of one column that looks only back.

A window is a number of steps and ends at the present one. Missing values are skipped; a window with fewer than
half of its values answers null. The same expression serves a fleet's history and its newest moment.
"""

from collections.abc import Mapping, Sequence

import numba
import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from features.missing import column_of, floats_of

#: Slopes and differences are told a day ahead at most; a limit further off than that is "not soon".
HOURS_CAP = 48.0
#: What is nearer to its limit than this share of it as a rule counts as this near.
LEAST_ROOM = 0.05


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


def rise_per_h(level: pl.Expr, apart: int, steps_per_h: float) -> pl.Expr:
    """Rise an hour of a level that is a mean already, against `apart` steps before."""
    return (level - level.shift(apart)) / (apart / steps_per_h)


def change_per_h(slope: pl.Expr, steps: int, steps_per_h: float) -> pl.Expr:
    """How much a slope over `steps` has changed since the window before, an hour: > 0 where it speeds up."""
    return (slope - slope.shift(steps)) / (steps / steps_per_h)


def spread(column: pl.Expr, steps: int) -> pl.Expr:
    """Standard deviation of the last `steps` values, in the unit of the column; >= 0."""
    return column.rolling_std(steps, min_samples=max(2, steps // 2)).clip(lower_bound=0.0)


def usual_at_this_time(column: pl.Expr, steps_per_day: int, days: int) -> pl.Expr:
    """Trimmed mean of the same time of day over the last `days` days, today left out; null on the first day.

    The highest and the lowest are left out, because an incident on one of the days is nothing usual.
    """
    return _over_days(column, 0, steps_per_day, days)


def usual_change_ahead(level: pl.Expr, ahead: int, steps_per_day: int, days: int) -> pl.Expr:
    """By how much the level usually changes from this time of day on, over `ahead` steps; null on the first day."""
    return _over_days(level - level.shift(ahead), ahead, steps_per_day, days)


def _over_days(column: pl.Expr, ahead: int, steps_per_day: int, days: int) -> pl.Expr:
    """What the column was `ahead` steps later than now on each of the days before: without the extremes, the mean."""

    def trimmed(values: pl.Series) -> pl.Series:
        return column_of(_trimmed_means(floats_of(values), ahead, steps_per_day, days))

    # In Polars' own expressions this is a thousand times slower: seven shifts, each materialised for each use.
    return column.map_batches(trimmed, return_dtype=pl.Float64)


@numba.njit(cache=True)
def _trimmed_means(now: FloatArray, ahead: int, steps_per_day: int, days: int) -> FloatArray:
    out = np.full(len(now), np.nan)
    for row in range(len(now)):
        total, high, low, known = 0.0, -np.inf, np.inf, 0
        for day in range(1, days + 1):
            at = row + ahead - day * steps_per_day
            if at >= 0 and not np.isnan(now[at]):
                total, known = total + now[at], known + 1
                high, low = max(high, now[at]), min(low, now[at])
        if known > 2:
            out[row] = (total - high - low) / (known - 2)
        elif known > 0:
            out[row] = total / known
    return out


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


def hours_since_shares(
    level: pl.Expr, shares: Mapping[str, float], steps: int, steps_per_h: float
) -> pl.Expr:
    """Hours since the present rise was last under each share of what it is now; a rise begins at the lowest of `steps`.

    A window as long as the precursor itself: minutes for one that runs, a day for one that creeps. At least a tenth of
    a step, null where there is no history. A struct with a field for each of the shares, by name; they ascend.
    """
    wanted = np.array(list(shares.values()))

    def since(values: pl.Series) -> pl.Series:
        lowest = values.rolling_min(steps + 1, min_samples=1)
        found = _steps_since_shares(floats_of(values), floats_of(lowest), wanted, steps) / steps_per_h
        columns = {name: column_of(hours) for name, hours in zip(shares, found, strict=True)}
        return pl.DataFrame(columns).to_struct()

    return level.map_batches(since, return_dtype=pl.Struct(dict.fromkeys(shares, pl.Float64)))


@numba.njit(cache=True)
def _steps_since_shares(level: FloatArray, lowest: FloatArray, shares: FloatArray, steps: int) -> FloatArray:
    """(shares, rows)"""
    out = np.full((len(shares), len(level)), np.nan)
    for row in range(len(level)):
        if np.isnan(level[row]):
            continue
        first, at = max(0, row - steps), row
        for index in range(len(shares) - 1, -1, -1):
            mark = lowest[row] + shares[index] * (level[row] - lowest[row])
            # Going back, what is under a smaller share comes no earlier: the search goes on where it was.
            while at >= first and not level[at] <= mark:
                at -= 1
            back = max(row - at, 1) if at >= first else 1
            passed = float(back)
            if back <= row:
                under, over = level[row - back], level[row - back + 1]
                # A gap beside the crossing leaves its place open within a step.
                if over > under:
                    passed -= min(max((mark - under) / (over - under), 0.0), 1.0)
            out[index, row] = max(passed, 0.1)
    return out


def lines(
    column: pl.Series, rows: IntArray, windows_h: Sequence[int], steps_per_h: int
) -> dict[str, pl.Series]:
    """Least-squares lines through the last hours: `level_<h>` now, `slope_<h>` an hour, `strays_<h>`.

    What strays is the standard deviation of the values from the line. Each takes as long as the window has steps, hence
    not for every row.

    Args:
        rows: which are asked for, ascending.
        windows_h: ascending; a window with fewer than half of its values answers null.
    Returns:
        as long as `rows`.
    """
    fields = [f"{field}_{hours}" for hours in windows_h for field in ("level", "slope", "strays")]
    made = _lines(floats_of(column), rows, np.array(windows_h) * steps_per_h, steps_per_h)
    return {name: column_of(values) for name, values in zip(fields, made, strict=True)}


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _lines(values: FloatArray, rows: IntArray, ends: IntArray, steps_per_h: int) -> FloatArray:
    """(windows * 3, rows). Sums of each row are its own, so that they do not depend on where the series began."""
    out = np.full((3 * len(ends), len(rows)), np.nan)
    known = np.where(np.isnan(values), 0.0, 1.0)
    filled = np.where(np.isnan(values), 0.0, values)
    for place in range(len(rows)):
        row = rows[place]
        # About the newest value, or little would be left of the squares' differences.
        middle = filled[row]
        count, t, y, tt, ty, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        begin = 0
        for index in range(len(ends)):
            end = min(ends[index], row) + 1
            for back in range(begin, end):
                weight = known[row - back]
                steps, more = weight * back, weight * (filled[row - back] - middle)
                count, t, y = count + weight, t + steps, y + more
                tt, ty, yy = tt + steps * back, ty + back * more, yy + more * more
            begin = end
            if 2 * count < ends[index]:
                continue
            # Steps count back from now.
            wide = tt / count - (t / count) * (t / count)
            both = ty / count - (t / count) * (y / count)
            slope = both / wide
            out[3 * index, place] = middle + y / count - slope * t / count
            out[3 * index + 1, place] = -slope * steps_per_h
            rest = yy / count - (y / count) * (y / count) - slope * both
            out[3 * index + 2, place] = np.sqrt(max(rest, 0.0))
    return out


def below_high(level: pl.Expr, steps: int) -> pl.Expr:
    """How far the level is below the highest of the last `steps`, <= 0: 0 while it still climbs."""
    return level - level.rolling_max(steps, min_samples=max(1, steps // 4))


def share_rising(slope: pl.Expr, steps: int, floor: float) -> pl.Expr:
    """In which share of the last `steps` the slope was over `floor`, in [0, 1]."""
    rising = (slope > floor).cast(pl.Float64)
    return rising.rolling_mean(steps, min_samples=max(1, steps // 4)).clip(0.0, 1.0)


def hours_over(column: pl.Expr, mark: float, steps: int, steps_per_h: float) -> pl.Expr:
    """Hours since the column was last at most `mark`, 0 while it is, at most the window of `steps`; gaps count on."""
    row = pl.int_range(pl.len())
    last = pl.when(column <= mark).then(row).forward_fill()
    return ((row - last) / steps_per_h).fill_null(steps / steps_per_h).clip(0.0, steps / steps_per_h)


def hours_to_limit(level: pl.Expr, slope: pl.Expr) -> pl.Expr:
    """Hours until a share of 1 at the present slope, in [0, HOURS_CAP]; HOURS_CAP where it does not rise."""
    rising = slope > 1e-9
    hours = ((1.0 - level) / pl.when(rising).then(slope)).clip(0.0, HOURS_CAP)
    return pl.when(level.is_null() | slope.is_null()).then(None).otherwise(hours.fill_null(HOURS_CAP))
