"""Features of each slot of a service: levels, slopes, usual values, and the way to its limit if it has one."""

from collections.abc import Iterable

import polars as pl

from core.arrays import IntArray
from features import calm, windows
from features.feature import PER_H, ROWS_PER_DAY, ROWS_PER_H, USUAL_DAYS, Feature

#: Slots that fail at a share of 1, so that they have a way to their limit.
LIMITED = ("cpu", "memory", "disk", "latency", "connections", "queue")
#: A smaller spread, as a share of the limit, counts as this much. Nobody acts on 0.5 %.
FLOOR = 0.005
#: The same for slopes: 0.5 % of the limit per hour.
SLOPE_FLOOR_PER_H = 0.005
#: Slots that fill up. The others have no limit, or return to normal by themselves.
FILLING = ("memory", "disk", "connections", "queue", "latency")
#: How far ahead a level is projected, in hours: the horizon with documented figures.
AHEAD_H = 3
#: A rise is searched in so many hours, and measured from where it had these shares of its present size.
RISE_H = 36
PARTS = {"tenth": 0.1, "half": 0.5, "most": 0.75}
#: For slots on the way from their usual level to the limit: hours that count, and the share of the way from which on.
ON_WAY_H, ON_WAY = 36, 0.08
#: The usual level is this quantile of the last days without the newest hours.
USUAL_QUANTILE, USUAL_WITHOUT_H = 0.4, 2
#: The CPU that traffic does not explain, over these steps, and compared with `BEFORE_H` without `NEWEST_H`.
CPU_WINDOWS = {"15m": PER_H // 4, "1h": PER_H, "3h": 3 * PER_H}
BEFORE_H, NEWEST_H = 8, 3
#: Lines are fitted to the way of the first resource over so many hours; some features describe deviations from them.
LINES_H, STRAYS_H = (2, 3, 4, 6), (3, 6)


def of_slot(slot: str) -> Iterable[Feature]:
    share = pl.col(slot)
    level = pl.col(f"{slot}_level_15m")
    hour = pl.col(f"{slot}_level_1h")
    yield Feature(f"{slot}_level_15m", windows.mean(share, PER_H // 4), slot, "level", 0.25)
    yield Feature(f"{slot}_level_1h", windows.mean(share, PER_H), slot, "level", 1)
    yield Feature(f"{slot}_spread_1h", windows.spread(share, PER_H), slot, "spread", 1, 0.0)
    slopes = {
        1: (windows.slope_per_h(share, PER_H, PER_H), 0),
        3: (windows.rise_per_h(hour, 2 * ROWS_PER_H, ROWS_PER_H), 1),
        6: (windows.rise_per_h(windows.mean(hour, 3), 4 * ROWS_PER_H, ROWS_PER_H), 1),
        24: (windows.rise_per_h(windows.mean(hour, 15), 16 * ROWS_PER_H, ROWS_PER_H), 1),
    }
    for hours, (expression, stage) in slopes.items():
        yield Feature(f"{slot}_slope_{hours}h", expression, slot, "slope", hours, stage=stage)
    if slot in LIMITED:
        yield from _of_limited(slot)
    if slot in FILLING:
        yield from _of_filling(slot)
    slope = pl.col(f"{slot}_slope_3h")
    change = windows.change_per_h(slope, 3 * ROWS_PER_H, ROWS_PER_H)
    yield Feature(f"{slot}_acceleration_3h", change, slot, "acceleration", 6, stage=2)
    unusual = windows.deviation(
        level,
        windows.usual_at_this_time(hour, ROWS_PER_DAY, USUAL_DAYS),
        windows.spread(level, ROWS_PER_DAY * USUAL_DAYS),
        FLOOR,
    )
    yield Feature(f"{slot}_deviation", unusual, slot, "deviation", 24 * USUAL_DAYS, -50.0, 50.0, 1)
    faster = windows.times_usual(slope, ROWS_PER_DAY, USUAL_DAYS, SLOPE_FLOOR_PER_H)
    yield Feature(f"{slot}_times_usual_slope", faster, slot, "times_usual", 3, -100.0, 100.0, 2)
    above = windows.above_ceiling(hour, ROWS_PER_DAY, USUAL_DAYS)
    yield Feature(f"{slot}_above_ceiling", above, slot, "above_ceiling", 24 * USUAL_DAYS, stage=1)
    yield Feature(f"{slot}_rise_24h", windows.rise_from_low(hour, ROWS_PER_DAY), slot, "rise", 24, stage=1)


def calm_columns(slot: str) -> tuple[dict[str, pl.Expr], ...]:
    """Columns that `_of_filling` reads: the sawtooth, the level without traffic and sawtooth, and means of it."""
    level, teeth, name = pl.col(slot), pl.col(f"_teeth_{slot}"), pl.col(f"_calm_{slot}")
    calm_level = calm.without_traffic(level, pl.col("traffic")) - teeth.struct.field("now")
    return (
        {f"_teeth_{slot}": calm.teeth(level, AHEAD_H * PER_H)},
        {f"_calm_{slot}": calm_level, f"_ahead_{slot}": teeth.struct.field("ahead")},
        {
            f"_calm_{slot}_15m": windows.mean(name, PER_H // 4),
            f"_calm_{slot}_1h": windows.mean(name, PER_H),
        },
    )


def calm_cpu_columns() -> tuple[dict[str, pl.Expr], ...]:
    """Columns that `of_cpu` reads. A busy CPU is no failure, but shows whether a service works or only waits."""
    name = pl.col("_calm_cpu")
    return (
        {"_calm_cpu": calm.without_traffic(pl.col("cpu"), pl.col("traffic"))},
        {f"_calm_cpu_{window}": windows.mean(name, steps) for window, steps in CPU_WINDOWS.items()},
        {},
    )


def line_columns(steps: pl.DataFrame, rows: IntArray) -> dict[str, pl.Series]:
    """Lines through the levels without traffic and sawtooth, at some rows."""
    return {
        f"_line_{slot}_{field}": made
        for slot in FILLING
        for field, made in windows.lines(steps.get_column(f"_calm_{slot}"), rows, LINES_H, PER_H).items()
    }


def usual_calm(slot: str) -> dict[str, pl.Expr]:
    """The usual level of the slot without traffic and sawtooth, for each half hour."""
    usual = pl.col(f"_calm_{slot}_1h").rolling_quantile(
        USUAL_QUANTILE,
        window_size=calm.DAYS * ROWS_PER_DAY,
        min_samples=ROWS_PER_DAY // 2,
        interpolation="linear",
    )
    return {f"_usual_{slot}": usual.shift(USUAL_WITHOUT_H * ROWS_PER_H)}


def usual_cpu() -> dict[str, pl.Expr]:
    """The same for the CPU, with its usual spread and the median of the hours before the newest."""
    hour = pl.col("_calm_cpu_1h")
    strays = hour.rolling_std(calm.DAYS * ROWS_PER_DAY, min_samples=ROWS_PER_DAY // 2)
    before = hour.rolling_median(BEFORE_H * ROWS_PER_H, min_samples=BEFORE_H // 2)
    return usual_calm("cpu") | {
        "_strays_cpu": strays.shift(USUAL_WITHOUT_H * ROWS_PER_H).clip(lower_bound=FLOOR),
        "_before_cpu": before.shift(NEWEST_H * ROWS_PER_H),
    }


def rise_columns(slot: str) -> dict[str, pl.Expr]:
    """Where the present rise of the slot began, and since when it has been above shares of it."""
    steps = RISE_H * ROWS_PER_H
    since = windows.hours_since_shares(pl.col(f"{slot}_level_15m"), PARTS, steps, ROWS_PER_H)
    return {
        f"_low_{slot}": pl.col(f"{slot}_level_1h").rolling_min(steps, min_samples=1),
        f"_since_{slot}": since,
    }


def _of_filling(slot: str) -> Iterable[Feature]:
    """The share of the way from the usual level to the limit, since when, and the time to the limit at that pace."""
    usual, room = pl.col(f"_usual_{slot}"), room_of(slot)
    for window, hours in (("15m", 0.25), ("1h", 1)):
        way = ((pl.col(f"_calm_{slot}_{window}") - usual) / room).clip(-5.0, 5.0)
        yield Feature(f"{slot}_way_{window}", way, slot, "way", hours, -5.0, 5.0, 1)
    way, name = pl.col(f"{slot}_way_1h"), f"{slot}_hours_on_way"
    since = windows.hours_over(way, ON_WAY, ON_WAY_H * ROWS_PER_H, ROWS_PER_H)
    yield Feature(name, since, slot, "hours_on_way", ON_WAY_H, 0.0, ON_WAY_H, 2)
    until = windows.hours_to_limit(
        pl.col(f"{slot}_way_15m"), (way - ON_WAY) / pl.col(name).clip(lower_bound=0.1)
    )
    name = f"{slot}_hours_to_limit_since_usual"
    yield Feature(name, until, slot, "hours_to_limit_since", ON_WAY_H, 0.0, windows.HOURS_CAP, 3)


def room_of(slot: str) -> pl.Expr:
    """The distance from the usual level of the slot to its limit."""
    room = 1.0 - pl.col(f"_ahead_{slot}") - pl.col(f"_usual_{slot}")
    return room.clip(lower_bound=windows.LEAST_ROOM)


def of_cpu() -> Iterable[Feature]:
    """CPU that traffic does not explain. A failing service uses it; a batch that only waits does not."""
    strays = pl.col("_strays_cpu")
    for window, steps in CPU_WINDOWS.items():
        name, hours = f"cpu_unexplained_{window}", steps / PER_H
        more = pl.col(f"_calm_cpu_{window}") - pl.col("_usual_cpu")
        yield Feature(name, more, "cpu", "unexplained", hours, stage=1)
        if hours >= 1:
            times = (more / strays).clip(-50.0, 50.0)
            name = f"cpu_unexplained_deviation_{window}"
            yield Feature(name, times, "cpu", "unexplained_deviation", hours, -50.0, 50.0, 1)
    rise = pl.col("_calm_cpu_1h") - pl.col("_before_cpu")
    yield Feature("cpu_unexplained_rise", rise, "cpu", "unexplained_rise", BEFORE_H, stage=1)
    times = (rise / strays).clip(-50.0, 50.0)
    name = "cpu_unexplained_rise_deviation"
    yield Feature(name, times, "cpu", "unexplained_rise_deviation", BEFORE_H, -50.0, 50.0, 1)


def _of_limited(slot: str) -> Iterable[Feature]:
    """Whether and how soon the slot reaches a share of 1, and whether it still rises."""
    level, hour = pl.col(f"{slot}_level_15m"), pl.col(f"{slot}_level_1h")
    usually = windows.usual_change_ahead(hour, AHEAD_H * ROWS_PER_H, ROWS_PER_DAY, USUAL_DAYS)
    yield Feature(f"{slot}_usual_change_{AHEAD_H}h", usually, slot, "usual_change", AHEAD_H, stage=1)
    for hours in (1, 3, 6):
        slope, beyond = pl.col(f"{slot}_slope_{hours}h"), pl.col(f"{slot}_beyond_usual_{hours}h")
        until = windows.hours_to_limit(level, slope)
        yield Feature(
            f"{slot}_hours_to_limit_{hours}h", until, slot, "hours_to_limit", hours, 0.0, windows.HOURS_CAP, 2
        )
        usual = windows.usual_at_this_time(slope, ROWS_PER_DAY, USUAL_DAYS)
        extra = slope - usual.fill_null(0.0)
        yield Feature(f"{slot}_beyond_usual_{hours}h", extra, slot, "beyond_usual", hours, stage=2)
        ahead = level + AHEAD_H * beyond + pl.col(f"{slot}_usual_change_{AHEAD_H}h").fill_null(0.0)
        yield Feature(
            f"{slot}_in_{AHEAD_H}h_at_{hours}h", ahead.clip(-5.0, 10.0), slot, "ahead", hours, -5.0, 10.0, 3
        )
    low = pl.col(f"_low_{slot}")
    for part, share in PARTS.items():
        since = pl.col(f"_since_{slot}").struct.field(part)
        name = f"{slot}_hours_since_{part}"
        yield Feature(name, since, slot, "hours_since", RISE_H, 0.0, RISE_H, 1)
        if part == "tenth":
            continue
        pace = (1 - share) * (level - low) / pl.col(name)
        until = windows.hours_to_limit(level, pace)
        name = f"{slot}_hours_to_limit_since_{part}"
        yield Feature(name, until, slot, "hours_to_limit_since", RISE_H, 0.0, windows.HOURS_CAP, 2)
    now, before = pl.col(f"{slot}_beyond_usual_1h"), pl.col(f"{slot}_beyond_usual_6h")
    pace = (now / before.abs().clip(lower_bound=SLOPE_FLOOR_PER_H)).clip(-20.0, 20.0)
    yield Feature(f"{slot}_pace_change_6h", pace, slot, "pace_change", 6, -20.0, 20.0, 3)
    below = windows.below_high(level, 6 * ROWS_PER_H)
    yield Feature(f"{slot}_below_high_6h", below, slot, "below_high", 6, stage=1)
    rising = windows.share_rising(pl.col(f"{slot}_beyond_usual_3h"), 12 * ROWS_PER_H, SLOPE_FLOOR_PER_H)
    yield Feature(f"{slot}_rising_share_12h", rising, slot, "rising_share", 12, 0.0, 1.0, 3)
