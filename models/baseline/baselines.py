"""Learns what is normal for every series: level, trend, daily and weekly pattern, and the usual deviation.

The expected value is `level + slope * time + daily[slot of the day] + weekly[hour of the week]`. Every part is a
median, so anomalies in the history hardly change it. The band comes from quantiles of the differences between the
values and what was expected a day before, scaled by hour of the day. So no distribution is assumed, and a level that
changes often has a wider band. All series are computed at once.

References:
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., ch. 3 (decomposition).
    Cleveland et al. (1990), STL (the usual decomposition, which this one is measured against).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S, HOUR_S, WEEK_S
from models.baseline.changepoints import Shift, find_shifts, hourly_medians
from models.baseline.seasons import WEEKLY, by_days, daily_profile, day_levels, weekly_profile
from models.baseline.trend import level_and_slope
from models.series.clock import LocalClock, to_local
from models.series.grid import Grid, slot_of
from models.series.magnitude import FAR, bounded, exponents_of, from_ordinary, rows_to_ordinary
from models.series.robust import (
    ROUNDING,
    mad_sigma,
    quantile_of_sorted,
    rounding_of,
    sorted_rows,
    still_spread,
)

PERCENTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
#: The quantiles of the normalised residuals that are stored; bands interpolate between them.
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
#: How many times as uncertain a holiday is as another day: without earlier holidays, and at most with them.
UNSEEN_HOLIDAY, WIDEST_HOLIDAY = 2.0, 10.0
#: The 90 % quantile of the size of a normal residual.
_NORMAL_90 = 1.645


@dataclass(frozen=True, slots=True)
class Baselines:
    """The baselines of n series that share a slot length.

    All numbers are in units of 2**`exponent` of the series, see `models/series/magnitude.py`; `in_unit` converts them.

    Attributes:
        series_ids: int64 (n).
        slot_s: seconds per slot of the day.
        end_s: epoch second of the end of the history; `level` holds there.
        count: int64 (n), number of values.
        days: float64 (n), days with values.
        mean, std: float64 (n), of the values.
        percentiles: (n, 7), see `PERCENTILES`.
        seasonality: int64 (n), index into `SEASONALITY`.
        level: float64 (n), NaN without values.
        slope: float64 (n), per day.
        daily: (n, slots of a day), daily pattern.
        weekly: (n, 168), what the hour of the week adds to it.
        scale: (n, 24), spread of the residuals by hour of the day, > 0.
        quantiles: (n, 17), of the residuals in units of `scale`, at `QUANTILES`.
        holiday_width: (n), how many times as large deviations are on a holiday, >= 1.
        dead_band: (n), a difference up to this is no deviation; 0, except for series that are usually constant.
        exponent: int64 (n), the numbers of this object are in units of 2**exponent; 0 for series of ordinary size.
        clock: local time and holidays, which the slots follow.
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
    dead_band: FloatArray
    exponent: IntArray
    clock: LocalClock

    def in_unit(self, row: int, values: FloatArray) -> FloatArray:
        """Numbers of this object in the unit of the series."""
        return from_ordinary(values, int(self.exponent[row]))

    def season(self, row: int, times_s: IntArray) -> FloatArray:
        """The seasonal part at each moment, float64, without level and trend. A holiday counts as a Sunday."""
        local = self.clock.local_s(times_s)
        daily: FloatArray = self.daily[row, slot_of(local, self.slot_s, DAY_S)]
        weekly: FloatArray = self.weekly[row, slot_of(self.clock.like_sunday(local), HOUR_S, WEEK_S)]
        return daily + weekly

    def expected(self, row: int, times_s: IntArray) -> FloatArray:
        """The expected value at each moment, float64."""
        drift = self.slope[row] * np.clip((times_s - self.end_s) / DAY_S, -1.0, 7.0)
        expected: FloatArray = self.level[row] + drift + self.season(row, times_s)
        return expected

    def scale_at(self, row: int, times_s: IntArray) -> FloatArray:
        """The spread of the residuals at each moment, float64, > 0; wider on holidays."""
        local = self.clock.local_s(times_s)
        scale: FloatArray = self.scale[row, slot_of(local, HOUR_S, DAY_S)]
        if not self.clock.holidays:
            return scale
        # A holiday may look like its weekday or like a Sunday, so the difference between both widens the spread.
        as_weekday = self.weekly[row, slot_of(local, HOUR_S, WEEK_S)]
        as_sunday = self.weekly[row, slot_of(self.clock.like_sunday(local), HOUR_S, WEEK_S)]
        wide: FloatArray = np.hypot(scale * self.holiday_width[row], (as_weekday - as_sunday) / 2)
        return np.where(self.clock.on_holiday(local), wide, scale)

    def band(self, row: int, times_s: IntArray, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge at each moment; a normal value lies between them with probability `level`."""
        return self.edges(row, self.expected(row, times_s), self.scale_at(row, times_s), level)

    def edges(
        self, row: int, expected: FloatArray, scale: FloatArray, level: float = 0.95
    ) -> tuple[FloatArray, FloatArray]:
        """The band around given expected values."""
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
        # The release before stored neither `dead_band` nor `exponent`.
        series = np.zeros(len(arrays["series_ids"]))
        added = {"dead_band": series, "exponent": series.astype(np.int64)}
        values: dict[str, Any] = {name: arrays[name] for name in _stored() if name in arrays}
        values = added | values
        clock = LocalClock(str(arrays["time_zone"]), tuple(arrays["holidays"].tolist()))
        values |= {"slot_s": int(values["slot_s"]), "end_s": int(values["end_s"]), "clock": clock}
        return cls(**values)


def _stored() -> list[str]:
    return [field.name for field in fields(Baselines) if field.name != "clock"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Baselines, and the lasting shifts of level that were found (one tuple per series)."""

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
        excluded: True for values that must not be learned from (maintenance, incidents, confirmed anomalies).
        deploys_s: series id -> epoch seconds of its service's deploys.
        clock: local time and holidays of all series of the grid; null: UTC without holidays.
        threads: number of chunks that are computed at the same time.
    """

    def fit(at: int) -> tuple[Baselines, list[tuple[Shift, ...]]]:
        rows = slice(at, at + CHUNK)
        values = grid.values[rows]
        if excluded is not None:
            values = np.where(excluded[rows], np.nan, values)
        exponents = exponents_of(values)
        values = rows_to_ordinary(values, exponents)
        part = Grid(grid.series_ids[rows], grid.start_s, grid.step_s, values)
        baselines, shifts = _fit_chunk(part, deploys_s or {}, clock or LocalClock())
        of_rows = zip(shifts, exponents.tolist(), strict=True)
        return replace(baselines, exponent=exponents), [
            tuple(replace(one, size=float(from_ordinary(np.array(one.size), exponent))) for one in row)
            for row, exponent in of_rows
        ]

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(fit, range(0, len(grid.series_ids), CHUNK)))
    return Fitted(
        concatenate([part for part, _ in parts]), tuple(shifts for _, found in parts for shifts in found)
    )


def concatenate(parts: Sequence[Baselines]) -> Baselines:
    """Join baselines with the same slots and the same end."""
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
    # A holiday on a Tuesday says nothing about other Tuesdays.
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
    level, slope = level_and_slope(hourly, hour0_s, hour_s, shifts, end_s)
    shifts = [tuple(_by_utc(one, clock) for one in row) for row in shifts]
    dead_band = dead_band_of(grid.values, percentiles)
    scale, quantiles = _residuals(flat.reshape(blocks.shape), columns_s, days, percentiles, dead_band)
    fitted = Baselines(
        series_ids=grid.series_ids,
        slot_s=slot_s,
        end_s=int(by_utc.times_s[-1]) + by_utc.step_s,
        count=count,
        days=days,
        mean=mean,
        std=std,
        percentiles=percentiles,
        seasonality=seasonality,
        level=level,
        slope=slope,
        daily=daily,
        weekly=weekly,
        scale=scale,
        quantiles=quantiles,
        holiday_width=np.full(len(grid.series_ids), UNSEEN_HOLIDAY),
        dead_band=dead_band,
        exponent=np.zeros(len(grid.series_ids), dtype=np.int64),
        clock=clock,
    )
    if free.any():
        fitted = replace(fitted, holiday_width=_holiday_width(fitted, everything, day_level, first_day_s))
    return fitted, shifts


def _find_shifts(
    hourly: FloatArray, hour0_s: int, deploys_s: Sequence[int], clock: LocalClock
) -> list[Shift]:
    """Shifts of hourly values in local time; the deploys are converted to local time."""
    local = clock.local_s(np.array(deploys_s, dtype=np.int64))
    return find_shifts(hourly, hour0_s, deploys_s=[int(at) for at in local])


def _by_utc(shift: Shift, clock: LocalClock) -> Shift:
    deploy_s = None if shift.deploy_s is None else clock.utc_s(shift.deploy_s)
    return replace(shift, at_s=clock.utc_s(shift.at_s), deploy_s=deploy_s)


def _holiday_width(
    fitted: Baselines, everything: Grid, day_level: FloatArray, first_day_s: int
) -> FloatArray:
    """How far values on holidays were from the level of the day before and the pattern of a Sunday, in spreads, (n).

    Args:
        fitted: baselines without this width.
        everything: the history in local time, holidays included.
        day_level: (n, days), level of each day from `first_day_s` on.
    """
    free = fitted.clock.on_holiday(everything.times_s)
    daily, local = fitted.daily, everything.times_s[free]
    expected = (
        day_level[:, np.maximum((local - first_day_s) // DAY_S - 1, 0)]
        + daily[:, slot_of(local, DAY_S // daily.shape[1], DAY_S)]
        + fitted.weekly[:, slot_of(fitted.clock.like_sunday(local), HOUR_S, WEEK_S)]
    )
    sizes = np.abs(everything.values[:, free] - expected) / fitted.scale[:, slot_of(local, HOUR_S, DAY_S)]
    ordered, counts = sorted_rows(sizes)
    width = np.clip(quantile_of_sorted(ordered, counts, 0.9) / _NORMAL_90, 1.0, WIDEST_HOLIDAY)
    half_a_day = DAY_S // (2 * everything.step_s)
    return np.where(counts >= half_a_day, width, fitted.holiday_width)


def dead_band_of(values: FloatArray, percentiles: FloatArray) -> FloatArray:
    """The largest difference of values that is no deviation, (n,): 0, except for series that are usually constant.

    Args:
        values: (n, steps); percentiles: (n, 7), of the same values, see `PERCENTILES`.
    """
    stands = percentiles[:, -1] - percentiles[:, 0] <= rounding_of(values)
    dead_band = np.zeros(len(values))
    if stands.any():
        dead_band[stands] = still_spread(values[stands])
    return dead_band


def _residuals(
    flat: FloatArray, columns_s: IntArray, days: FloatArray, percentiles: FloatArray, dead_band: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Spread by hour of the day and quantiles in its units, of the values minus the level of the day before."""
    n = flat.shape[0]
    level = day_levels(flat)
    before = np.concatenate([level[:, :1], level[:, :-1]], axis=1)
    residual = flat - before[:, :, None]
    overall = mad_sigma(residual.reshape(n, -1), center=np.zeros(n))
    # The median deviation of a mostly constant series is 0, so its percentiles give the spread.
    wide = (percentiles[:, -1] - percentiles[:, 0]) / 4.65
    rounding = ROUNDING * np.nan_to_num(np.abs(percentiles[:, 3]))
    overall = np.where(overall > rounding, overall, wide)
    overall = np.where(overall > rounding, overall, dead_band)
    overall = np.where(np.isfinite(overall) & (overall > 0), overall, 1.0)
    hours = slot_of(columns_s, HOUR_S, DAY_S)
    scale = np.repeat(overall[:, None], 24, axis=1)
    spread_out = residual.reshape(n, -1)
    for hour in np.unique(hours):
        here = spread_out[:, hours == hour]
        # Drawn towards the spread of the whole day: one hour has little data, and a quiet hour must not raise alarms.
        own = np.nan_to_num(mad_sigma(here, center=np.zeros(n)))
        weight = np.clip(days / 14.0, 0.0, 0.8)
        scale[:, hour] = np.sqrt(weight * own**2 + (1 - weight) * overall**2)
    scale = np.maximum(scale, 0.2 * overall[:, None])
    ordered, counts = sorted_rows(bounded(spread_out / scale[:, hours], FAR))
    quantiles = np.stack([quantile_of_sorted(ordered, counts, q) for q in QUANTILES], axis=1)
    # A quantile from d days of history is uncertain by about 1/sqrt(d), so a short history has wider bands.
    widen = 1.0 + 1.0 / np.sqrt(np.maximum(days, 1 / 24))
    return scale, np.where(np.isfinite(quantiles), quantiles, 0.0) * widen[:, None]
