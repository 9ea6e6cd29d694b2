"""What is normal for every series: level, trend, season of the day and the week, and how far values stray.

A value is expected at `level + slope * time + daily[slot of the day] + weekly[hour of the week]`. Every
part is
a median, so anomalies in the history hardly move it. The band is made of the quantiles of how far values were
from what the *day before* would have expected of them, scaled by the hour of the day: nothing is Gaussian by
assumption, and a level that wanders widens the band by itself. All series are computed at once.

References:
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., ch. 3 (decomposition).
    Cleveland et al. (1990), STL (the usual decomposition, which this one is measured against).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numba
import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S, HOUR_S, WEEK_S
from models.baseline.changepoints import Shift, find_shifts, hourly_medians
from models.baseline.seasons import WEEKLY, by_days, daily_profile, day_levels, weekly_profile
from models.series.clock import LocalClock, to_local
from models.series.grid import Grid, slot_of
from models.series.robust import mad_sigma, quantile_of_sorted, sorted_rows

PERCENTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
#: Where the distribution of the normalised residuals is kept; bands interpolate between.
QUANTILES = np.array(
    [
        0.0005,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        0.75,
        0.9,
        0.95,
        0.975,
        0.99,
        0.995,
        0.9975,
        0.9995,
    ]
)
CHUNK = 128
#: A holiday is so many times as uncertain as another day: where none was seen, and at most where some were.
UNSEEN_HOLIDAY, WIDEST_HOLIDAY = 2.0, 10.0
#: The 90 % quantile of the size of a normal residual.
_NORMAL_90 = 1.645


@dataclass(frozen=True, slots=True)
class Baselines:
    """The baselines of n series that share a slot length.

    Attributes:
        series_ids: int64 (n).
        slot_s: seconds per slot of the day.
        end_s: epoch second up to which was learned; `level` holds there.
        count: values learned from, int64 (n); `days`: their span with data, in days.
        mean, std: float64 (n), of the values as they came; percentiles: (n, 7), see `PERCENTILES`.
        seasonality: int64 (n), index into `SEASONALITY`.
        level: float64 (n), NaN where nothing is known; slope: per day.
        daily: (n, slots of a day); weekly: (n, 168), what the hour of the week adds.
        scale: (n, 24), spread of the residuals by hour of the day, > 0.
        quantiles: (n, 17), of the residuals in units of `scale`, at `QUANTILES`.
        holiday_width: (n), how many times as far values stray on a holiday, >= 1.
        clock: slots of the day and the week are those of the clock on the wall.
    """

    series_ids: IntArray
    slot_s: int
    end_s: int
    count: IntArray
    days: FloatArray
    mean: FloatArray
    std: FloatArray
    percentiles: FloatArray
    seasonality: IntArray
    level: FloatArray
    slope: FloatArray
    daily: FloatArray
    weekly: FloatArray
    scale: FloatArray
    quantiles: FloatArray
    holiday_width: FloatArray
    clock: LocalClock

    def season(self, row: int, times_s: IntArray) -> FloatArray:
        """The seasonal part at each moment, float64, without level and trend; a holiday goes like a Sunday."""
        local = self.clock.local_s(times_s)
        daily: FloatArray = self.daily[row, slot_of(local, self.slot_s, DAY_S)]
        weekly: FloatArray = self.weekly[row, slot_of(self.clock.like_sunday(local), HOUR_S, WEEK_S)]
        return daily + weekly

    def expected(self, row: int, times_s: IntArray) -> FloatArray:
        """What is expected at each moment, float64."""
        drift = self.slope[row] * np.clip((times_s - self.end_s) / DAY_S, -1.0, 7.0)
        expected: FloatArray = self.level[row] + drift + self.season(row, times_s)
        return expected

    def scale_at(self, row: int, times_s: IntArray) -> FloatArray:
        """The spread of the residuals at each moment, float64, > 0; wider where it is not known how people live."""
        local = self.clock.local_s(times_s)
        scale: FloatArray = self.scale[row, slot_of(local, HOUR_S, DAY_S)]
        if not self.clock.holidays:
            return scale
        # It may go like the weekday that it is, or like a Sunday.
        as_weekday = self.weekly[row, slot_of(local, HOUR_S, WEEK_S)]
        as_sunday = self.weekly[row, slot_of(self.clock.like_sunday(local), HOUR_S, WEEK_S)]
        wide: FloatArray = np.hypot(scale * self.holiday_width[row], (as_weekday - as_sunday) / 2)
        return np.where(self.clock.on_holiday(local), wide, scale)

    def band(self, row: int, times_s: IntArray, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge at each moment; `level` of the probability lies between them."""
        return self.edges(row, self.expected(row, times_s), self.scale_at(row, times_s), level)

    def edges(
        self, row: int, expected: FloatArray, scale: FloatArray, level: float = 0.95
    ) -> tuple[FloatArray, FloatArray]:
        """The band around any expectation."""
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], QUANTILES, self.quantiles[row])
        return expected + min(low, 0.0) * scale, expected + max(high, 0.0) * scale

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays, for `np.savez`."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _stored()}
        clock = {"time_zone": self.clock.time_zone, "holidays": np.array(self.clock.holidays, dtype=np.int64)}
        return arrays | {name: np.asarray(value) for name, value in clock.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Baselines":
        """The inverse of `to_arrays`."""
        values: dict[str, Any] = {name: arrays[name] for name in _stored()}
        clock = LocalClock(str(arrays["time_zone"]), tuple(arrays["holidays"].tolist()))
        values |= {"slot_s": int(values["slot_s"]), "end_s": int(values["end_s"]), "clock": clock}
        return cls(**values)


def _stored() -> list[str]:
    return [field.name for field in fields(Baselines) if field.name != "clock"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Baselines, and the lasting shifts found on the way (one tuple per series)."""

    baselines: Baselines
    shifts: tuple[tuple[Shift, ...], ...]


def fit_baselines(
    grid: Grid,
    *,
    excluded: BoolArray | None = None,
    deploys_s: Mapping[int, Sequence[int]] | None = None,
    clock: LocalClock | None = None,
    threads: int = 2,
) -> Fitted:
    """Learn what is normal for every series of a grid.

    Args:
        grid: the history, usually 30 days.
        excluded: True where nothing may be learned (maintenance, incidents, confirmed anomalies).
        deploys_s: series id -> epoch seconds of its service's deploys.
        clock: that all series of the grid live by; null: UTC without holidays.
        threads: chunks of series at once; sorting, which takes most of the time, runs side by side.
    """

    def fit(at: int) -> tuple[Baselines, list[tuple[Shift, ...]]]:
        rows = slice(at, at + CHUNK)
        values = grid.values[rows]
        if excluded is not None:
            values = np.where(excluded[rows], np.nan, values)
        part = Grid(grid.series_ids[rows], grid.start_s, grid.step_s, values)
        return _fit_chunk(part, deploys_s or {}, clock or LocalClock())

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(fit, range(0, len(grid.series_ids), CHUNK)))
    return Fitted(
        concatenate([part for part, _ in parts]), tuple(shifts for _, found in parts for shifts in found)
    )


def concatenate(parts: Sequence[Baselines]) -> Baselines:
    """One table of several that share slot and end."""
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Baselines)
        if field.name not in ("slot_s", "end_s", "clock")
    }
    first = parts[0]
    return Baselines(slot_s=first.slot_s, end_s=first.end_s, clock=first.clock, **joined)


def _fit_chunk(
    by_utc: Grid, deploys_s: Mapping[int, Sequence[int]], clock: LocalClock
) -> tuple[Baselines, list[tuple[Shift, ...]]]:
    everything = to_local(by_utc, clock)
    free = clock.on_holiday(everything.times_s)
    # What is learned of a Tuesday is not learned from one that was a holiday.
    values = np.where(free, np.nan, everything.values) if free.any() else everything.values
    grid = Grid(everything.series_ids, everything.start_s, everything.step_s, values)
    ordered, count = sorted_rows(grid.values)
    percentiles = np.stack([quantile_of_sorted(ordered, count, q) for q in PERCENTILES], axis=1)
    safe = np.maximum(count, 1)
    mean = np.where(count > 0, np.nansum(grid.values, axis=1) / safe, np.nan)
    std = np.sqrt(np.nansum((grid.values - mean[:, None]) ** 2, axis=1) / safe)

    blocks, first_day_s, slot_s = by_days(grid)  # (n, days, slots)
    days = (count > 0) * np.isfinite(blocks).any(axis=2).sum(axis=1).astype(np.float64)
    days = np.minimum(days, count * grid.step_s / DAY_S + 1e-9) if grid.step_s <= slot_s else days

    daily, seasonality = daily_profile(blocks, days)
    flat = blocks - daily[:, None, :]
    day_level = day_levels(flat)
    weekly, has_week = weekly_profile(flat - day_level[:, :, None], day_level, first_day_s, slot_s, days)
    seasonality = np.where(has_week, WEEKLY, seasonality)
    columns_s = first_day_s + slot_s * np.arange(flat.shape[1] * flat.shape[2], dtype=np.int64)
    flat = flat.reshape(flat.shape[0], -1) - weekly[:, slot_of(columns_s, HOUR_S, WEEK_S)]
    end_s = grid.start_s + grid.step_s * grid.values.shape[1]

    hourly, hour0_s = hourly_medians(flat, first_day_s, slot_s)
    hour_s = max(slot_s, HOUR_S)
    shifts = [
        tuple(_find_shifts(hourly[row], hour0_s, deploys_s.get(int(key), ()), clock))
        if hour_s == HOUR_S
        else ()
        for row, key in enumerate(grid.series_ids)
    ]
    level, slope = _level_and_slope(hourly, hour0_s, hour_s, shifts, end_s)
    shifts = [tuple(_by_utc(one, clock) for one in row) for row in shifts]
    scale, quantiles = _residuals(flat.reshape(blocks.shape), columns_s, days, percentiles)
    return (
        Baselines(
            series_ids=grid.series_ids, slot_s=slot_s, end_s=int(by_utc.times_s[-1]) + by_utc.step_s,
            count=count, days=days, mean=mean,
            std=std, percentiles=percentiles, seasonality=seasonality, level=level, slope=slope, daily=daily,
            weekly=weekly, scale=scale, quantiles=quantiles,
            holiday_width=_holiday_width(everything, free, daily, weekly, day_level, scale, first_day_s, clock),
            clock=clock,
        ),
        shifts,
    )  # fmt: skip


def _find_shifts(
    hourly: FloatArray, hour0_s: int, deploys_s: Sequence[int], clock: LocalClock
) -> list[Shift]:
    """Shifts of a course in local time, with the deploys brought to it."""
    local = clock.local_s(np.array(deploys_s, dtype=np.int64))
    return find_shifts(hourly, hour0_s, deploys_s=[int(at) for at in local])


def _by_utc(shift: Shift, clock: LocalClock) -> Shift:
    deploy_s = None if shift.deploy_s is None else clock.utc_s(shift.deploy_s)
    return replace(shift, at_s=clock.utc_s(shift.at_s), deploy_s=deploy_s)


def _holiday_width(
    everything: Grid, free: BoolArray, daily: FloatArray, weekly: FloatArray, day_level: FloatArray,
    scale: FloatArray, first_day_s: int, clock: LocalClock,
) -> FloatArray:  # fmt: skip
    """How far values strayed on holidays from the level of the day before and a Sunday's season, in spreads, (n)."""
    n = everything.values.shape[0]
    unseen = np.full(n, UNSEEN_HOLIDAY)
    if not free.any():
        return unseen
    local = everything.times_s[free]
    expected = (
        day_level[:, np.maximum((local - first_day_s) // DAY_S - 1, 0)]
        + daily[:, slot_of(local, DAY_S // daily.shape[1], DAY_S)]
        + weekly[:, slot_of(clock.like_sunday(local), HOUR_S, WEEK_S)]
    )
    sizes = np.abs(everything.values[:, free] - expected) / scale[:, slot_of(local, HOUR_S, DAY_S)]
    ordered, counts = sorted_rows(sizes)
    width = np.clip(quantile_of_sorted(ordered, counts, 0.9) / _NORMAL_90, 1.0, WIDEST_HOLIDAY)
    half_a_day = DAY_S // (2 * everything.step_s)
    return np.where(counts >= half_a_day, width, unseen)


def _level_and_slope(
    hourly: FloatArray, hour0_s: int, hour_s: int, shifts: list[tuple[Shift, ...]], end_s: int
) -> tuple[FloatArray, FloatArray]:
    """The level at the end, from the last day since the last shift, and the slope per day since then."""
    n, width = hourly.shape
    level, slope = np.full(n, np.nan), np.zeros(n)
    per_day = DAY_S // hour_s
    hours = np.arange(width)
    for row in range(n):
        since = (shifts[row][-1].at_s - hour0_s) // hour_s if shifts[row] else 0
        known = hours[since:][np.isfinite(hourly[row, since:])]
        if known.size == 0:
            known = hours[np.isfinite(hourly[row])]
            if known.size == 0:
                continue
        recent = known[known > known[-1] - per_day]
        level[row] = np.median(hourly[row, recent])
        if known.size >= 3 * per_day:
            slope[row] = _robust_slope(known / per_day, hourly[row, known])
            middle_s = hour0_s + hour_s * (float(np.median(recent)) + 0.5)
            level[row] += slope[row] * (end_s - middle_s) / DAY_S
    return level, slope


@numba.njit(cache=True, nogil=True)
def _robust_slope(day: FloatArray, values: FloatArray) -> float:
    """Slope per day of a line through medians, 0 unless the course is plainly a line.

    References:
        Sen (1968), Estimates of the regression coefficient based on Kendall's tau, JASA 63.
    """
    pieces = min(30, day.size // 12)
    x, y = np.empty(pieces), np.empty(pieces)
    for k in range(pieces):
        first, end = k * day.size // pieces, (k + 1) * day.size // pieces
        x[k], y[k] = np.median(day[first:end]), np.median(values[first:end])
    slopes = np.empty(pieces * (pieces - 1) // 2)
    at = 0
    for i in range(pieces):
        for j in range(i + 1, pieces):
            slopes[at] = (y[j] - y[i]) / (x[j] - x[i])
            at += 1
    slope = np.median(slopes)
    same_sign = np.mean((np.sign(slopes) == np.sign(slope)).astype(np.float64))
    residual = values - slope * day
    spread = np.median(np.abs(residual - np.median(residual)))
    if same_sign > 0.9 and abs(slope) * (day[-1] - day[0]) > 4.0 * spread:
        return float(slope)
    return 0.0


def _residuals(
    flat: FloatArray, columns_s: IntArray, days: FloatArray, percentiles: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """ChunkPool by hour of the day, and quantiles in its units, of the values against the day before's level."""
    n = flat.shape[0]
    level = day_levels(flat)
    before = np.concatenate([level[:, :1], level[:, :-1]], axis=1)
    residual = flat - before[:, :, None]
    overall = mad_sigma(residual.reshape(n, -1), center=np.zeros(n))
    # Mostly constant series have no spread by the middle of it; their rare values have.
    wide = (percentiles[:, -1] - percentiles[:, 0]) / 4.65
    overall = np.where(overall > 0, overall, wide)
    overall = np.where(overall > 0, overall, 1e-3 * np.abs(percentiles[:, 3]) + 1e-9)
    overall = np.where(np.isfinite(overall), overall, 1.0)
    hours = slot_of(columns_s, HOUR_S, DAY_S)
    scale = np.repeat(overall[:, None], 24, axis=1)
    spread_out = residual.reshape(n, -1)
    for hour in np.unique(hours):
        here = spread_out[:, hours == hour]
        # Shrunk toward the whole: an hour has a 24th of the data, and a quiet hour must not cry wolf.
        own = np.nan_to_num(mad_sigma(here, center=np.zeros(n)))
        weight = np.clip(days / 14.0, 0.0, 0.8)
        scale[:, hour] = np.sqrt(weight * own**2 + (1 - weight) * overall**2)
    scale = np.maximum(scale, 0.2 * overall[:, None])
    ordered, counts = sorted_rows(spread_out / scale[:, hours])
    quantiles = np.stack([quantile_of_sorted(ordered, counts, q) for q in QUANTILES], axis=1)
    # Little history: as wide as it must be. A quantile learned from d days is uncertain like 1/sqrt(d).
    widen = 1.0 + 1.0 / np.sqrt(np.maximum(days, 1 / 24))
    return scale, np.where(np.isfinite(quantiles), quantiles, 0.0) * widen[:, None]
