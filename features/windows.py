"""Window features: each is a pure expression of one column that reads only the past.

A window is a number of steps and ends at the present step. Missing values are skipped; a window with fewer than half of
its values gives null. The same expression works for the history of a fleet and for its newest moment.
"""

from collections.abc import Mapping, Sequence

import numba
import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from features.missing import column_of, floats_of

#: Longest projection, in hours; a limit that is reached later counts as this far away.
HOURS_CAP = 48.0
#: A usual level that is nearer to the limit than this share of it counts as this near.
LEAST_ROOM = 0.05


def mean(column: pl.Expr, steps: int) -> pl.Expr:
    """Mean of the last `steps` values, in the unit of the column."""
    return column.rolling_mean(steps, min_samples=max(1, steps // 2))


def slope_per_h(column: pl.Expr, steps: int, steps_per_h: float) -> pl.Expr:
    """Rise per hour: the mean of the last third of the window minus the mean of its first third.

    A line through the means of the outer thirds uses 8/9 of the information of least squares on white noise
    and hardly depends on a single value.

    References:
        Bartlett, M. S. (1949). Fitting a straight line when both variables are subject to error. Biometrics 5(3).
    """
    third = max(1, steps // 3)
    late = mean(column, third)
    apart_h = (steps - third) / steps_per_h
    return (late - late.shift(steps - third)) / apart_h


def rise_per_h(level: pl.Expr, apart: int, steps_per_h: float) -> pl.Expr:
    """Rise per hour of a level that is already a mean, compared with `apart` steps before."""
    return (level - level.shift(apart)) / (apart / steps_per_h)


def change_per_h(slope: pl.Expr, steps: int, steps_per_h: float) -> pl.Expr:
    """Change per hour of a slope since the window before; > 0 if the growth gets faster."""
    return (slope - slope.shift(steps)) / (steps / steps_per_h)


def spread(column: pl.Expr, steps: int) -> pl.Expr:
    """Standard deviation of the last `steps` values, in the unit of the column; >= 0."""
    return column.rolling_std(steps, min_samples=max(2, steps // 2)).clip(lower_bound=0.0)


def usual_at_this_time(column: pl.Expr, steps_per_day: int, days: int) -> pl.Expr:
    """Trimmed mean at the same time of day over the last `days` days without today; null on the first day.

    The highest and the lowest value are left out, because one of the days may have had an incident.
    """
    return _over_days(column, 0, steps_per_day, days)


def usual_change_ahead(level: pl.Expr, ahead: int, steps_per_day: int, days: int) -> pl.Expr:
    """Usual change of the level over the next `ahead` steps at this time of day; null on the first day."""
    return _over_days(level - level.shift(ahead), ahead, steps_per_day, days)


def _over_days(column: pl.Expr, ahead: int, steps_per_day: int, days: int) -> pl.Expr:
    """The trimmed mean of the column over the days before, at the time of day `ahead` steps from now."""

    def trimmed(values: pl.Series) -> pl.Series:
        return column_of(_trimmed_means(floats_of(values), ahead, steps_per_day, days))

    # Expressions of Polars would be a thousand times slower: seven shifts, each computed again for each use.
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
    """(level - usual value) / scale; a scale below `floor` counts as `floor`."""
    return ((level - usual) / scale.clip(lower_bound=floor)).clip(-50.0, 50.0)


def times_usual(value: pl.Expr, steps_per_day: int, days: int, floor: float) -> pl.Expr:
    """The value as a multiple of its usual size (root mean square over `days` without the last day)."""
    square = (value * value).shift(steps_per_day)
    usual = (
        square.rolling_mean(days * steps_per_day, min_samples=steps_per_day // 2).clip(lower_bound=0.0).sqrt()
    )
    return (value / usual.clip(lower_bound=floor)).clip(-100.0, 100.0)


def above_ceiling(level: pl.Expr, steps_per_day: int, days: int) -> pl.Expr:
    """The level minus its highest value of the last `days` without the last day; < 0 below it."""
    ceiling = level.shift(steps_per_day).rolling_max(days * steps_per_day, min_samples=steps_per_day // 2)
    return level - ceiling


def rise_from_low(level: pl.Expr, steps: int) -> pl.Expr:
    """The level minus its lowest value of the last `steps`; >= 0."""
    return level - level.rolling_min(steps, min_samples=max(1, steps // 4))


def hours_since_shares(
    level: pl.Expr, shares: Mapping[str, float], steps: int, steps_per_h: float
) -> pl.Expr:
    """Hours since the present rise was last below each share of its present size.

    A rise begins at the lowest value of the last `steps`. So the window is as long as the rise itself: minutes for a
    fast one, a day for a slow one. The result is a struct with one field for each share, by name; the shares ascend.
    Each field is at least a tenth of a step, and null without history.
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
            # A smaller share was crossed no later, so the search backwards continues where it was.
            while at >= first and not level[at] <= mark:
                at -= 1
            back = max(row - at, 1) if at >= first else 1
            passed = float(back)
            if back <= row:
                under, over = level[row - back], level[row - back + 1]
                # With a gap beside the crossing, its time within the step is unknown.
                if over > under:
                    passed -= min(max((mark - under) / (over - under), 0.0), 1.0)
            out[index, row] = max(passed, 0.1)
    return out


def lines(
    column: pl.Series, rows: IntArray, windows_h: Sequence[int], steps_per_h: int
) -> dict[str, pl.Series]:
    """Least-squares lines through the last hours: `level_<h>` now, `slope_<h>` per hour, and `strays_<h>`.

    `strays_<h>` is the standard deviation of the values from the line. The computation takes as long as the windows, so
    it is done for some rows only.

    Args:
        rows: rows to compute, ascending.
        windows_h: ascending; a window with fewer than half of its values gives null.
    Returns:
        As long as `rows`.
    """
    fields = [f"{field}_{hours}" for hours in windows_h for field in ("level", "slope", "strays")]
    made = _lines(floats_of(column), rows, np.array(windows_h) * steps_per_h, steps_per_h)
    return {name: column_of(values) for name, values in zip(fields, made, strict=True)}


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _lines(values: FloatArray, rows: IntArray, ends: IntArray, steps_per_h: int) -> FloatArray:
    """(windows * 3, rows). Each row has sums of its own, so that they do not depend on the start of the series."""
    out = np.full((3 * len(ends), len(rows)), np.nan)
    known = np.where(np.isnan(values), 0.0, 1.0)
    filled = np.where(np.isnan(values), 0.0, values)
    for place in range(len(rows)):
        row = rows[place]
        # Relative to the newest value, because differences of large squares would lose their digits.
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
    """The level minus its highest value of the last `steps`; <= 0, and 0 while it still climbs."""
    return level - level.rolling_max(steps, min_samples=max(1, steps // 4))


def share_rising(slope: pl.Expr, steps: int, floor: float) -> pl.Expr:
    """The share of the last `steps` with a slope above `floor`, in [0, 1]."""
    rising = (slope > floor).cast(pl.Float64)
    return rising.rolling_mean(steps, min_samples=max(1, steps // 4)).clip(0.0, 1.0)


def hours_over(column: pl.Expr, mark: float, steps: int, steps_per_h: float) -> pl.Expr:
    """Hours since the column was last at most `mark`, up to the window of `steps`; 0 while it is; gaps count."""
    row = pl.int_range(pl.len())
    last = pl.when(column <= mark).then(row).forward_fill()
    return ((row - last) / steps_per_h).fill_null(steps / steps_per_h).clip(0.0, steps / steps_per_h)


def hours_to_limit(level: pl.Expr, slope: pl.Expr) -> pl.Expr:
    """Hours until a share of 1 at the present slope, in [0, HOURS_CAP]; HOURS_CAP without a rise."""
    rising = slope > 1e-9
    hours = ((1.0 - level) / pl.when(rising).then(slope)).clip(0.0, HOURS_CAP)
    return pl.when(level.is_null() | slope.is_null()).then(None).otherwise(hours.fill_null(HOURS_CAP))
