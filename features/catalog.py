"""The failure features: every one named, with its expression, its range and how it is told to a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from core.domain import DEFAULT_STEP_S
from core.errors import InputError, InvalidFrameError
from features import windows
from features.grid import AGE_CAP_H, UPSTREAM
from features.slots import SLOTS

PER_H = 3600 // DEFAULT_STEP_S
PER_DAY = 24 * PER_H
#: How many days back a feature looks for what is usual.
USUAL_DAYS = 7
#: History that a moment's features need: what is usual, the day left out of it, the longest window, and the day that
#: a series without a limit is compared with.
LOOKBACK_H = (USUAL_DAYS + 3) * 24
#: Slots whose share of 1 means trouble, so that a way to the limit makes sense.
LIMITED = ("cpu", "memory", "disk", "latency", "connections", "queue")
#: A spread under this share of the limit counts as this much: 0.5 % is below what anybody acts on.
FLOOR = 0.005
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
        stage: 0 reads the wide frame; a later stage may read the features of the stages before it.
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
#: Families of the resource that will be full first, whichever it is: one incident teaches about all resources.
TIGHTEST = (
    "level_15m", "slope_1h", "slope_3h", "slope_6h", "slope_24h", "hours_to_limit_1h", "hours_to_limit_6h",
    "acceleration_3h", "spread_1h", "deviation", "times_usual_slope", "above_ceiling", "rise_24h",
)  # fmt: skip


def _of_tightest(features: Mapping[str, Feature]) -> Iterable[Feature]:
    def urgency(slot: str) -> pl.Expr:
        """Hours to the limit, and of those equally far the fuller one."""
        return pl.col(f"{slot}_hours_to_limit_3h") - 0.001 * pl.col(f"{slot}_level_15m")

    first = pl.min_horizontal([urgency(slot) for slot in FILLING])
    for family in TIGHTEST:
        one = features[f"{FILLING[0]}_{family}"]
        picked = [pl.when(urgency(slot) == first).then(pl.col(f"{slot}_{family}")) for slot in FILLING]
        yield replace(
            one, name=f"tightest_{family}", expression=pl.coalesce(picked), slot="tightest", stage=2
        )


def _of_slot(slot: str) -> Iterable[Feature]:
    share = pl.col(slot)
    level = pl.col(f"{slot}_level_15m")
    hour = pl.col(f"{slot}_level_1h")
    yield Feature(f"{slot}_level_15m", windows.mean(share, PER_H // 4), slot, "level", 0.25)
    yield Feature(f"{slot}_level_1h", windows.mean(share, PER_H), slot, "level", 1)
    yield Feature(f"{slot}_spread_1h", windows.spread(share, PER_H), slot, "spread", 1, 0.0)
    for hours in (1, 3, 6, 24):
        slope = windows.slope_per_h(share, hours * PER_H, PER_H)
        yield Feature(f"{slot}_slope_{hours}h", slope, slot, "slope", hours)
        if slot in LIMITED and hours < 24:
            until = windows.hours_to_limit(level, pl.col(f"{slot}_slope_{hours}h"))
            yield Feature(
                f"{slot}_hours_to_limit_{hours}h",
                until,
                slot,
                "hours_to_limit",
                hours,
                0.0,
                windows.HOURS_CAP,
                1,
            )
    slope = pl.col(f"{slot}_slope_3h")
    change = windows.change_per_h(slope, 3 * PER_H, PER_H)
    yield Feature(f"{slot}_acceleration_3h", change, slot, "acceleration", 6, stage=1)
    unusual = windows.deviation(
        level,
        windows.usual_at_this_time(hour, PER_DAY, USUAL_DAYS),
        windows.spread(share, PER_DAY * USUAL_DAYS),
        FLOOR,
    )
    yield Feature(f"{slot}_deviation", unusual, slot, "deviation", 24 * USUAL_DAYS, -50.0, 50.0, 1)
    faster = windows.times_usual(slope, PER_DAY, USUAL_DAYS, SLOPE_FLOOR_PER_H)
    yield Feature(f"{slot}_times_usual_slope", faster, slot, "times_usual", 3, -100.0, 100.0, 1)
    above = windows.above_ceiling(hour, PER_DAY, USUAL_DAYS)
    yield Feature(f"{slot}_above_ceiling", above, slot, "above_ceiling", 24 * USUAL_DAYS, stage=1)
    yield Feature(f"{slot}_rise_24h", windows.rise_from_low(hour, PER_DAY), slot, "rise", 24, stage=1)


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
            2,
        )
    fullest = pl.max_horizontal([f"{slot}_level_15m" for slot in FILLING])
    yield Feature("highest_saturation", fullest, "saturation", "level", 0.25, 0.0, stage=1)
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
STAGES = tuple(
    {feature.name: feature.expression for feature in FEATURES if feature.stage == stage} for stage in range(3)
)


def service_features(wide: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES) -> pl.DataFrame:
    """`ts` and the named features of one service, a row for each row of its wide frame, in its order.

    Raises:
        InputError: a name is not in the catalog.
        InvalidFrameError: the frame lacks a column that the features read.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InputError(f"no such feature: {', '.join(unknown)}")
    try:
        frame = wide.lazy()
        for stage in STAGES:
            frame = frame.with_columns(**stage)
        return frame.select("ts", *names).collect()
    except pl.exceptions.ColumnNotFoundError as error:
        raise InvalidFrameError(f"the wide frame lacks a column: {error}") from error


def check_ranges(frame: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES) -> None:
    """Raises InvalidFrameError naming the first feature with a value outside its range."""
    bad = frame.select(
        ((pl.col(n) < BY_NAME[n].low - 1e-9) | (pl.col(n) > BY_NAME[n].high + 1e-9) | pl.col(n).is_nan())
        .any()
        .alias(n)
        for n in names
    ).row(0, named=True)
    for name, outside in bad.items():
        if outside:
            raise InvalidFrameError(
                f"feature {name!r} has values outside [{BY_NAME[name].low}, {BY_NAME[name].high}]"
            )
