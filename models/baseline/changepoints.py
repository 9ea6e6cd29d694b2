"""Finds lasting shifts of the level of a series, and the deploys that explain them.

At each hour, the day before and the day after are compared: the difference of their medians, in units of the spread
within them. A shift is a local maximum of this difference, and its place is refined afterwards. A shift happens within
hours; if the hours around the place differ little, the series follows a trend instead. Outliers have little influence.

References:
    Fearnhead and Rigaill (2019), Changepoint detection in the presence of outliers, JASA 114 (why medians).
    Truong, Oudre and Vayatis (2020), Selective review of offline change point detection methods (windows).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from core.arrays import FloatArray, IntArray
from core.durations import HOUR_S
from models.series.robust import MAD_TO_SIGMA_PRINTED, ROUNDING, least_spread

WINDOW_HOURS = 24
#: Medians of 24 hourly medians of white noise differ by more than 4 of their own spreads less than once in 10,000 hours
#: (checked in the tests). Autocorrelated noise differs more, hence 5.
THRESHOLD = 5.0
#: Only every third hour is scanned; the place of a shift is refined to the hour afterwards.
SCAN_HOURS = 3
#: A level needs at least this many hours on each side.
MIN_HOURS = 6
#: The hours right before and after a shift must differ by this share of the difference between the days. In a steady
#: trend they differ by a quarter of it.
ABRUPT_SHARE = 0.5
#: A deploy explains a shift if it was at most this long before the shift, or an hour after it (clocks differ).
DEPLOY_REACH_S = 6 * HOUR_S
CLOCK_SLACK_S = HOUR_S


@dataclass(frozen=True, slots=True)
class Shift:
    """A lasting change of the level.

    Attributes:
        at_s: epoch second of the first hour of the new level.
        size: new level minus old, in the unit of the values.
        strength: |size| in units of the spread around it.
        deploy_s: epoch second of the deploy that explains it, or null.
    """

    at_s: int
    size: float
    strength: float
    deploy_s: int | None = None


@numba.njit(cache=True)
def _strengths(hourly: FloatArray, window: int, least: int, floor: float, sizes: FloatArray) -> FloatArray:
    n = hourly.size
    strengths = np.zeros(n)
    before = np.empty(window)
    after = np.empty(window)
    for i in range(least, n - least + 1, SCAN_HOURS):
        left = 0
        for j in range(max(0, i - window), i):
            if not np.isnan(hourly[j]):
                before[left] = hourly[j]
                left += 1
        right = 0
        for j in range(i, min(n, i + window)):
            if not np.isnan(hourly[j]):
                after[right] = hourly[j]
                right += 1
        if left < least or right < least:
            continue
        mid_before = np.median(before[:left])
        mid_after = np.median(after[:right])
        spread_before = np.median(np.abs(before[:left] - mid_before))
        spread_after = np.median(np.abs(after[:right] - mid_after))
        spread = MAD_TO_SIGMA_PRINTED * 0.5 * (spread_before + spread_after)
        sizes[i] = mid_after - mid_before
        strengths[i] = abs(sizes[i]) / max(spread, floor)
    return strengths


@numba.njit(cache=True)
def _refine(hourly: FloatArray, low: int, high: int, radius: int) -> int:
    """The split from `low` to `high` with the smallest absolute deviation around the medians of both sides."""
    start = max(0, low - radius)
    stop = min(hourly.size, high + radius)
    best = low
    best_cost = np.inf
    for split in range(max(low, start + 1), min(high, stop - 1) + 1):
        left = hourly[start:split]
        right = hourly[split:stop]
        left = left[~np.isnan(left)]
        right = right[~np.isnan(right)]
        if left.size == 0 or right.size == 0:
            continue
        cost = np.abs(left - np.median(left)).sum() + np.abs(right - np.median(right)).sum()
        if cost < best_cost * (1.0 - ROUNDING):
            best_cost = cost
            best = split
    return best


def find_shifts(
    hourly: FloatArray, start_s: int, *, threshold: float = THRESHOLD, deploys_s: Sequence[int] = ()
) -> list[Shift]:
    """The shifts of one series, in the order of time.

    Args:
        hourly: medians per hour without the seasonal part, float64, length n, NaN = missing.
        start_s: epoch second of the first hour.
        deploys_s: epoch seconds of the deploys of its service.
    """
    if hourly.size < 2 * MIN_HOURS:
        return []
    sizes = np.zeros(hourly.size)
    step = np.abs(np.diff(hourly))
    step = step[~np.isnan(step)]
    # Constant or quantised parts have no spread. The floor prevents that small changes there look strong.
    floor = max(float(np.median(step)) * 0.5 if step.size else 0.0, float(least_spread(hourly)))
    strengths = _strengths(hourly, WINDOW_HOURS, MIN_HOURS, floor, sizes)
    shifts: list[Shift] = []
    while True:
        peak = int(np.argmax(strengths))
        if strengths[peak] < threshold:
            break
        split = _refine(
            hourly, max(1, peak - MIN_HOURS), min(hourly.size - 1, peak + MIN_HOURS), WINDOW_HOURS
        )
        if not _abrupt(hourly, split, float(sizes[peak])):
            strengths[max(0, peak - MIN_HOURS) : peak + MIN_HOURS + 1] = 0.0
            continue
        at_s = start_s + HOUR_S * split
        shifts.append(
            Shift(at_s, float(sizes[peak]), float(strengths[peak]), nearest_deploy(at_s, deploys_s))
        )
        strengths[max(0, peak - WINDOW_HOURS) : peak + WINDOW_HOURS + 1] = 0.0
    return sorted(shifts, key=lambda shift: shift.at_s)


def _abrupt(hourly: FloatArray, split: int, size: float) -> bool:
    before = hourly[max(0, split - MIN_HOURS) : split]
    after = hourly[split : split + MIN_HOURS]
    if np.isnan(before).all() or np.isnan(after).all():
        return True  # the shift happened in a gap, so no slope was measured
    return float(np.nanmedian(after) - np.nanmedian(before)) / size >= ABRUPT_SHARE


def nearest_deploy(at_s: int, deploys_s: Sequence[int]) -> int | None:
    """The deploy that a shift at `at_s` follows, or null."""
    near = [deploy for deploy in deploys_s if at_s - DEPLOY_REACH_S <= deploy <= at_s + CLOCK_SLACK_S]
    return max(near, default=None)


def hourly_medians(values: FloatArray, start_s: int, step_s: int) -> tuple[FloatArray, int]:
    """Medians per whole hour of each row, and the epoch second of the first hour.

    Args:
        values: float64, shape (n, steps), NaN = missing.
    """
    if step_s >= HOUR_S:
        return values, start_s
    lead = (start_s % HOUR_S) // step_s
    per_hour = HOUR_S // step_s
    width = -(-(lead + values.shape[1]) // per_hour) * per_hour
    padded = np.full((values.shape[0], width), np.nan)
    padded[:, lead : lead + values.shape[1]] = values
    blocks = padded.reshape(values.shape[0], -1, per_hour)
    ordered = np.sort(blocks, axis=2)
    counts: IntArray = np.asarray(per_hour - np.isnan(blocks).sum(axis=2), dtype=np.int64)
    middle = np.take_along_axis(ordered, np.maximum(counts - 1, 0)[..., None] // 2, axis=2)[..., 0]
    return middle, start_s - lead * step_s
