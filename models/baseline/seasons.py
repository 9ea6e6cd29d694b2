"""Daily and weekly patterns (seasons) of all series at once: medians by slot.

A pattern is kept only if it is useful: learned from one half of the days, it must reduce the spread of the other half.
"""

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S
from models.series.grid import MONDAY_OFFSET_S, Grid
from models.series.magnitude import FAR, bounded
from models.series.robust import fill_forward, mad_sigma, median

NONE, DAILY, WEEKLY = 0, 1, 2
SEASONALITY = ("none", "daily", "weekly")
HOURS_PER_WEEK = 168
#: A pattern must explain this share of the squared spread on days that it was not learned from.
MIN_GAIN = 0.05
#: With one or two days there are no other days to check on, so the pattern must be clearer.
MIN_GAIN_UNCHECKED = 0.30
WEEKLY_AFTER_DAYS = 14
DAILY_AFTER_DAYS = 1
MIN_SLOT_S = 300


def slot_length_s(step_s: int) -> int:
    """The shortest slot, of at least a step and 5 minutes, that divides the day.

    Examples:
        >>> slot_length_s(60), slot_length_s(300), slot_length_s(420), slot_length_s(3600)
        (300, 300, 432, 3600)
    """
    wanted = max(step_s, MIN_SLOT_S)
    return (
        next(length for length in range(wanted, DAY_S + 1) if DAY_S % length == 0)
        if wanted < DAY_S
        else DAY_S
    )


def by_days(grid: Grid) -> tuple[FloatArray, int, int]:
    """The grid as (n, days, slots of the day), from a midnight on; finer steps are averaged into slots.

    Returns:
        The values, the epoch second of the first midnight, and the seconds of a slot.
    """
    slot_s = slot_length_s(grid.step_s)
    first_day_s = grid.start_s - grid.start_s % DAY_S
    slot = (grid.times_s - first_day_s) // slot_s
    per_day = DAY_S // slot_s
    days = int(slot[-1]) // per_day + 1
    result = np.full((grid.values.shape[0], days * per_day), np.nan)
    if grid.step_s == slot_s and grid.start_s % slot_s == 0:
        result[:, slot] = grid.values
    else:
        starts = np.flatnonzero(np.diff(slot, prepend=-1))
        present = np.isfinite(grid.values)
        sums = np.add.reduceat(np.where(present, grid.values, 0.0), starts, axis=1)
        counts = np.add.reduceat(present, starts, axis=1)
        result[:, slot[starts]] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return result.reshape(-1, days, per_day), first_day_s, slot_s


def _profile(blocks: FloatArray) -> FloatArray:
    """Median over the days by slot, centred, (n, slots); slots without data take the value of a neighbour."""
    middle = median(np.ascontiguousarray(blocks.transpose(0, 2, 1)))
    middle = np.nan_to_num(fill_forward(middle), nan=0.0)
    if middle.shape[1] >= 24:  # a short circular average, because neighbouring slots are alike
        middle = 0.25 * np.roll(middle, 1, axis=1) + 0.5 * middle + 0.25 * np.roll(middle, -1, axis=1)
    centred: FloatArray = middle - np.median(middle, axis=1, keepdims=True)
    return centred


def _spread(blocks: FloatArray) -> FloatArray:
    """Spread of each series, (n,). Of long series every other value is enough to choose a pattern."""
    flat = blocks.reshape(blocks.shape[0], -1)
    return mad_sigma(np.ascontiguousarray(flat[:, ::2]) if flat.shape[1] > 5000 else flat)


def _gain(left: FloatArray, before: FloatArray) -> FloatArray:
    """Share of the squared spread that a pattern explains, (n,); -inf for a series without spread."""
    ratio = bounded(_spread(left) / np.where(before > 0, before, np.inf), FAR)
    gain: FloatArray = 1.0 - ratio**2
    return np.where(before > 0, gain, -np.inf)


def daily_profile(blocks: FloatArray, days: FloatArray) -> tuple[FloatArray, IntArray]:
    """The daily pattern of each series, (n, slots), and whether it is used (`DAILY`) or not (`NONE`), (n,).

    Args:
        blocks: (n, days, slots), from `by_days`.
        days: (n,), days with values.
    """
    n, width, slots = blocks.shape
    full = np.isfinite(blocks).mean(axis=2) >= 0.5
    level = np.where(full, median(blocks), np.nan)
    anchored = (
        blocks
        - np.where(
            np.isnan(level).all(axis=1)[:, None], median(blocks.reshape(n, -1))[:, None], fill_forward(level)
        )[:, :, None]
    )
    if slots < 24 or width < 1:
        return np.zeros((n, slots)), np.zeros(n, dtype=np.int64)
    fine = _profile(anchored)
    per_hour = slots // 24
    coarse = (
        np.repeat(
            np.nan_to_num(
                median(anchored.reshape(n, width, 24, per_hour).transpose(0, 2, 1, 3).reshape(n, 24, -1))
            ),
            per_hour,
            axis=1,
        )
        if slots % 24 == 0
        else fine
    )
    plain = _spread(anchored)
    odd, even = np.arange(width) % 2 == 1, np.arange(width) % 2 == 0
    if width >= 4:
        held_out = np.concatenate(
            [
                anchored[:, even] - _profile(anchored[:, odd])[:, None, :],
                anchored[:, odd] - _profile(anchored[:, even])[:, None, :],
            ],
            axis=1,
        )
        gain = _gain(held_out, plain)
    else:
        gain = np.full(n, -np.inf)
    rough = _gain(anchored - coarse[:, None, :], plain)
    checked = (days >= 4) & (gain > MIN_GAIN)
    unchecked = (days < 4) & (days >= DAILY_AFTER_DAYS) & (rough > MIN_GAIN_UNCHECKED)
    daily = np.where(checked[:, None], fine, np.where(unchecked[:, None], coarse, 0.0))
    return daily, np.where(checked | unchecked, DAILY, NONE).astype(np.int64)


def day_levels(flat: FloatArray) -> FloatArray:
    """The level of each day, (n, days); days without data take the level of a neighbour."""
    level = fill_forward(median(flat))
    return np.nan_to_num(level, nan=0.0)


def weekly_profile(
    residual: FloatArray, day_level: FloatArray, first_day_s: int, slot_s: int, days: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """What the hour of the week adds to the daily pattern, (n, 168), and whether it is used, (n,)."""
    n, width, slots = residual.shape
    nothing = np.zeros((n, HOURS_PER_WEEK)), np.zeros(n, dtype=np.bool_)
    if width < WEEKLY_AFTER_DAYS or slots % 24:
        return nothing
    # The trend of a day is the median of seven days around it, so that every weekday counts once. Otherwise a weekend
    # at the end of the history would look like a trend.
    reach = np.clip(np.arange(width) - 3, 0, width - 7)[:, None] + np.arange(7)
    trend = median(day_level[:, reach])
    values = residual + (day_level - trend)[:, :, None]
    weekday = ((first_day_s + MONDAY_OFFSET_S) // DAY_S + np.arange(width)) % 7
    week = np.arange(width) // 7

    def learn(chosen: BoolArray) -> FloatArray:
        profile = np.zeros((n, 7, 24))
        for day in range(7):
            mine = chosen & (weekday == day)
            if mine.any():
                pooled = (
                    values[:, mine].reshape(n, -1, 24, slots // 24).transpose(0, 2, 1, 3).reshape(n, 24, -1)
                )
                profile[:, day] = np.nan_to_num(median(pooled))
        return profile

    def apart(profile: FloatArray, chosen: BoolArray) -> FloatArray:
        return values[:, chosen] - np.repeat(profile[:, weekday[chosen]], slots // 24, axis=2)

    odd, even = week % 2 == 1, week % 2 == 0
    held_out = np.concatenate([apart(learn(even), odd), apart(learn(odd), even)], axis=1)
    gain = _gain(held_out, _spread(values))
    helps = (gain > MIN_GAIN) & (days >= WEEKLY_AFTER_DAYS)
    profile = learn(np.ones(width, dtype=np.bool_)).reshape(n, HOURS_PER_WEEK)
    return np.where(helps[:, None], profile, 0.0), helps
