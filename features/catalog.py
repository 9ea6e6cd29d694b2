"""The failure features: every one named, with its expression, its range and how it is told to a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from core.domain import DEFAULT_STEP_S
from core.errors import InputError, InvalidFrameError
from features import calm, windows
from features.grid import AGE_CAP_H, UPSTREAM
from features.slots import SLOTS

PER_H = 3600 // DEFAULT_STEP_S
#: What looks further back than an hour or so reads one row in half an hour, at the minutes of the moment itself:
#: the values of a moment are the same whichever other moments are asked for, and six times cheaper.
RASTER_S = 1800
RASTER = RASTER_S // DEFAULT_STEP_S
ROWS_PER_H = 3600 // RASTER_S
ROWS_PER_DAY = 24 * ROWS_PER_H
#: How many days back a feature looks for what is usual.
USUAL_DAYS = 7
#: History that a moment's features need: what is usual, the day left out of it, the longest window, and the day that
#: a series without a limit is compared with.
LOOKBACK_H = (USUAL_DAYS + 3) * 24
#: Slots whose share of 1 means trouble, so that a way to the limit makes sense.
LIMITED = ("cpu", "memory", "disk", "latency", "connections", "queue")
#: A spread under this share of the limit counts as this much: 0.5 % is below what anybody acts on.
FLOOR = 0.005
#: Digits after the point: as many as a share of a limit has in single precision, which is what models read.
DIGITS = 8
#: The same for slopes: half a per cent of the limit an hour.
SLOPE_FLOOR_PER_H = 0.005


@dataclass(frozen=True)
class Feature:
    """One feature: a pure expression over a service's wide frame.

    Attributes:
        slot: the part of the service it speaks of: one of `SLOTS`, "upstream", "events" or "calendar".
        family: what it measures, such as "slope"; `models.failure.reasons` tells it in words by this.
        window_h: how far it looks back, in hours, 0 for a present fact.
        low, high: its range; a value outside is a defect.
        stage: 0 reads the wide frame, step by step; a later stage reads the features of the stages before it, half
            hour by half hour.
    """

    name: str
    expression: pl.Expr
    slot: str
    family: str
    window_h: float
    low: float = float("-inf")
    high: float = float("inf")
    stage: int = 0


#: What fills up; the others have no end, or come back by themselves.
FILLING = ("memory", "disk", "connections", "queue", "latency")
#: How far ahead a level is projected: the horizon that the product promises on.
AHEAD_H = 3
#: A rise is looked back on over so many hours, and from where it had reached these shares of what it is now.
RISE_H = 36
PARTS = {"tenth": 0.1, "half": 0.5, "most": 0.75}
#: What is on its way from its usual level to its limit: hours that count, and from which share of the way on.
ON_WAY_H, ON_WAY = 36, 0.08
#: Its usual level: this quantile of the last days, the newest hours left out.
USUAL_QUANTILE, USUAL_WITHOUT_H = 0.4, 2
#: Families of the resource that will be full first, whichever it is: one incident teaches about all resources.
TIGHTEST = (
    "level_15m", "slope_1h", "slope_3h", "slope_6h", "slope_24h", "hours_to_limit_1h", "hours_to_limit_3h",
    "hours_to_limit_6h", "hours_since_tenth", "hours_since_half", "hours_since_most", "hours_to_limit_since_half",
    "hours_to_limit_since_most", "in_3h_at_1h", "in_3h_at_3h", "in_3h_at_6h", "beyond_usual_1h", "beyond_usual_3h",
    "beyond_usual_6h", "pace_change_6h", "below_high_6h", "rising_share_12h", "acceleration_3h", "spread_1h",
    "deviation", "times_usual_slope", "above_ceiling", "rise_24h",
    "way_15m", "way_1h", "hours_on_way", "hours_to_limit_since_usual",
)  # fmt: skip


def _of_tightest(features: Mapping[str, Feature]) -> Iterable[Feature]:
    for family in TIGHTEST:
        one = features[f"{FILLING[0]}_{family}"]
        picked = [pl.when(pl.col(f"_first_{slot}")).then(pl.col(f"{slot}_{family}")) for slot in FILLING]
        yield replace(
            one, name=f"tightest_{family}", expression=pl.coalesce(picked), slot="tightest", stage=4
        )


def first_columns() -> dict[str, pl.Expr]:
    """Whether each slot is the one that will be fullest."""
    ahead = [f"{slot}_in_{AHEAD_H}h_at_{AHEAD_H}h" for slot in FILLING]
    first = pl.max_horizontal(ahead)
    return {f"_first_{slot}": pl.col(name) == first for slot, name in zip(FILLING, ahead, strict=True)}


def _of_slot(slot: str) -> Iterable[Feature]:
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
    """What `_of_filling` reads, step by step: the teeth, the level without traffic and teeth, its means."""
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


def usual_calm(slot: str) -> pl.Expr:
    """The level that the slot keeps without traffic and teeth, half hour by half hour."""
    rows = calm.DAYS * ROWS_PER_DAY
    return (
        pl.col(f"_calm_{slot}_1h")
        .rolling_quantile(
            USUAL_QUANTILE, window_size=rows, min_samples=ROWS_PER_DAY // 2, interpolation="linear"
        )
        .shift(USUAL_WITHOUT_H * ROWS_PER_H)
    )


def rise_columns(slot: str) -> dict[str, pl.Expr]:
    """Where the slot's present rise began, and since when it has been over parts of it."""
    steps = RISE_H * ROWS_PER_H
    since = windows.hours_since_shares(pl.col(f"{slot}_level_15m"), PARTS, steps, ROWS_PER_H)
    return {
        f"_low_{slot}": pl.col(f"{slot}_level_1h").rolling_min(steps, min_samples=1),
        f"_since_{slot}": since,
    }


def _of_filling(slot: str) -> Iterable[Feature]:
    """How far the slot has come from its usual level to its limit, since when, and when it is there at that pace."""
    usual = pl.col(f"_usual_{slot}")
    room = (1.0 - pl.col(f"_ahead_{slot}") - usual).clip(lower_bound=windows.LEAST_ROOM)
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


def _of_limited(slot: str) -> Iterable[Feature]:
    """Whether, and how soon, the slot reaches a share of 1; and whether it is still on its way."""
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


def _of_all() -> Iterable[Feature]:
    for hours in (1, 3, 6):
        soonest = pl.min_horizontal([f"{slot}_hours_to_limit_{hours}h" for slot in FILLING])
        yield Feature(
            f"soonest_limit_{hours}h",
            soonest,
            "saturation",
            "hours_to_limit",
            hours,
            0.0,
            windows.HOURS_CAP,
            3,
        )
        highest = pl.max_horizontal([f"{slot}_in_{AHEAD_H}h_at_{hours}h" for slot in FILLING])
        yield Feature(
            f"highest_in_{AHEAD_H}h_at_{hours}h", highest, "saturation", "ahead", hours, -5.0, 10.0, 4
        )
    for part in ("half", "most"):
        soonest = pl.min_horizontal([f"{slot}_hours_to_limit_since_{part}" for slot in FILLING])
        name = f"soonest_limit_since_{part}"
        yield Feature(name, soonest, "saturation", "hours_to_limit_since", RISE_H, 0.0, windows.HOURS_CAP, 3)
    fullest = pl.max_horizontal([f"{slot}_level_15m" for slot in FILLING])
    yield Feature("highest_saturation", fullest, "saturation", "level", 0.25, 0.0, stage=1)
    furthest = pl.max_horizontal([f"{slot}_way_15m" for slot in FILLING])
    yield Feature("furthest_way", furthest, "saturation", "way", 0.25, -5.0, 5.0, 2)
    for name in UPSTREAM:
        yield Feature(f"{name}_15m", windows.mean(pl.col(name), PER_H // 4), "upstream", "level", 0.25)
    rise = windows.rise_from_low(pl.col("upstream_errors"), PER_H)
    yield Feature("upstream_errors_rise_1h", rise, "upstream", "rise", 1)
    for name in ("deploy", "config"):
        yield Feature(
            f"hours_since_{name}", pl.col(f"hours_since_{name}"), "events", "age", 0, 0.0, AGE_CAP_H
        )
        yield Feature(f"{name}s_24h", pl.col(f"{name}s_24h"), "events", "count", 24, 0.0)
    yield Feature("in_maintenance", pl.col("in_maintenance"), "events", "flag", 0, 0.0, 1.0)
    since = pl.col("hours_since_maintenance")
    yield Feature("hours_since_maintenance", since, "events", "age", 0, 0.0, AGE_CAP_H)
    missing = pl.sum_horizontal([pl.col(slot).is_null().cast(pl.Float64) for slot in SLOTS]) / len(SLOTS)
    missing = missing.rolling_mean(PER_H, min_samples=1).clip(0.0, 1.0)
    yield Feature("missing_share_1h", missing, "events", "missing", 1, 0.0, 1.0)
    clock = pl.col("ts").dt.hour().cast(pl.Float64) + pl.col("ts").dt.minute().cast(pl.Float64) / 60
    yield Feature("hour_of_day", clock, "calendar", "hour", 0, 0.0, 24.0)
    yield Feature(
        "day_of_week", pl.col("ts").dt.weekday().cast(pl.Float64), "calendar", "weekday", 0, 1.0, 7.0
    )


_SLOT_FEATURES = {feature.name: feature for slot in SLOTS for feature in _of_slot(slot)}
FEATURES: tuple[Feature, ...] = (*_SLOT_FEATURES.values(), *_of_tightest(_SLOT_FEATURES), *_of_all())
BY_NAME = {feature.name: feature for feature in FEATURES}
FEATURE_NAMES: tuple[str, ...] = tuple(BY_NAME)
#: Columns that features read and nobody keeps, in the order in which they are made.
_CALM = [calm_columns(slot) for slot in FILLING]
HIDDEN = tuple(
    {name: made for slot in _CALM for name, made in slot[step].items()} for step in range(len(_CALM[0]))
)
#: The same, half hour by half hour: before which stage they are made.
HIDDEN_AT = {
    1: {f"_usual_{slot}": usual_calm(slot) for slot in FILLING}
    | {name: made for slot in LIMITED for name, made in rise_columns(slot).items()},
    4: first_columns(),
}
STAGES = tuple(
    {feature.name: feature.expression for feature in FEATURES if feature.stage == stage} for stage in range(5)
)


def service_features(
    wide: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES, *, phases: Sequence[int] = range(RASTER)
) -> pl.DataFrame:
    """`ts` and the named features of one service, a row for each row of its wide frame, in its order.

    Args:
        wide: one row a step, none left out.
        phases: which steps of each half hour are wanted (0 is the full and the half hour); each costs the same.
    Raises:
        InputError: a name is not in the catalog.
        InvalidFrameError: the frame lacks a column that the features read.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InputError(f"no such feature: {', '.join(unknown)}")
    try:
        steps = wide.with_columns(_phase=phase_of(pl.col("ts")))
        for columns in (*HIDDEN, STAGES[0]):
            steps = steps.with_columns(**columns)
        parts = []
        for phase in phases:
            rows = steps.filter(pl.col("_phase") == phase)
            # Stage by stage: a lazy query over all of them is optimised for seconds.
            for number, stage in enumerate(STAGES[1:], start=1):
                rows = rows.with_columns(**HIDDEN_AT.get(number, {})).with_columns(**stage)
            parts.append(rows.select("ts", *(_rounded(name) for name in names)))
    except pl.exceptions.ColumnNotFoundError as error:
        raise InvalidFrameError(f"the wide frame lacks a column: {error}") from error
    return parts[0] if len(parts) == 1 else pl.concat(parts).sort("ts")


def _rounded(name: str) -> pl.Expr:
    """What is not exact (spreads) ends in other last digits when its sums began elsewhere."""
    return pl.col(name).round(DIGITS)


def phase_of(ts: pl.Expr) -> pl.Expr:
    """Which step of its half hour a moment is."""
    return ts.dt.epoch("s") // DEFAULT_STEP_S % RASTER


def check_ranges(frame: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES) -> None:
    """Raises InvalidFrameError naming the first feature with a value outside its range."""
    values = frame.select(names).to_numpy(order="fortran")
    least, most = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    # Missing values are null, and NaN only here.
    missing, nulls = np.isnan(values).sum(axis=0), frame.select(names).null_count().row(0)
    for index, name in enumerate(names):
        low, high = BY_NAME[name].low - 1e-9, BY_NAME[name].high + 1e-9
        # Nothing but nulls has neither.
        if missing[index] != nulls[index] or least[index] < low or most[index] > high:
            raise InvalidFrameError(
                f"feature {name!r} has values outside [{BY_NAME[name].low}, {BY_NAME[name].high}]"
            )
