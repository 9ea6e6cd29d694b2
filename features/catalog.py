"""The catalog of failure features, each with its name, expression and range."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import DEFAULT_STEP_S
from core.errors import InputError, InvalidFrameError
from core.frames import TIME
from features import ranked, resources, windows
from features.feature import DIGITS, LOOKBACK_H, PER_H, RASTER, Feature
from features.grid import AGE_CAP_H, UPSTREAM
from features.resources import AHEAD_H, FILLING, LIMITED, RISE_H
from features.slots import SLOTS


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
    yield Feature("highest_saturation", fullest, "saturation", "level", 0.25, stage=1)
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
    # Events are known at every step, so these features are never missing.
    missing = pl.when(pl.col("in_maintenance").is_not_null()).then(missing)
    missing = missing.rolling_mean(PER_H, min_samples=1).clip(0.0, 1.0)
    yield Feature("missing_share_1h", missing, "events", "missing", 1, 0.0, 1.0)
    clock = pl.col("ts").dt.hour().cast(pl.Float64) + pl.col("ts").dt.minute().cast(pl.Float64) / 60
    yield Feature("hour_of_day", clock, "calendar", "hour", 0, 0.0, 24.0)
    yield Feature(
        "day_of_week", pl.col("ts").dt.weekday().cast(pl.Float64), "calendar", "weekday", 0, 1.0, 7.0
    )


_SLOT_FEATURES = {feature.name: feature for slot in SLOTS for feature in resources.of_slot(slot)}
FEATURES: tuple[Feature, ...] = (
    *_SLOT_FEATURES.values(),
    *resources.of_cpu(),
    *ranked.of_ranked(_SLOT_FEATURES),
    *_of_all(),
)
BY_NAME = {feature.name: feature for feature in FEATURES}
FEATURE_NAMES: tuple[str, ...] = tuple(BY_NAME)
#: Features that mean the same for every resource. With few failures a model learns more from them.
RESOURCE_BLIND = tuple(
    feature.name
    for feature in FEATURES
    if feature.slot in ("first", "second", "saturation", "upstream", "events", "calendar")
    or feature.family.startswith("unexplained")
)
#: Intermediate columns that features read, in the order in which they are computed.
_CALM = [*(resources.calm_columns(slot) for slot in FILLING), resources.calm_cpu_columns()]
HIDDEN = tuple(
    {name: made for slot in _CALM for name, made in slot[step].items()} for step in range(len(_CALM[0]))
)
#: The same for each half hour, by the stage before which they are computed.
HIDDEN_AT: Mapping[int, tuple[dict[str, pl.Expr], ...]] = {
    1: (
        resources.usual_cpu()
        | {name: made for slot in FILLING for name, made in resources.usual_calm(slot).items()}
        | {name: made for slot in LIMITED for name, made in resources.rise_columns(slot).items()},
    ),
    4: ranked.ranks(),
}
STAGES = tuple(
    {feature.name: feature.expression for feature in FEATURES if feature.stage == stage} for stage in range(6)
)


#: What shares of up to this size leave in a running sum after they have left it is less than single precision, which
#: models use.
ORDINARY_SHARE = 64.0


def service_features(
    wide: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES, *, phases: Sequence[int] = range(RASTER)
) -> pl.DataFrame:
    """`ts` and the named features of one service, one row for each row of its wide frame, in its order.

    For arguments and errors see `features_of_services`.
    """
    return features_of_services([wide], names, phases=phases).drop("service")


def features_of_services(
    wides: Sequence[pl.DataFrame],
    names: Sequence[str] = FEATURE_NAMES,
    *,
    phases: Sequence[int] = range(RASTER),
    since: datetime | None = None,
) -> pl.DataFrame:
    """`service`, `ts` and the named features: one row for each row of each wide frame, in their order.

    Several services at once are faster: half of the time for one service is the overhead of Polars for each expression.

    Args:
        wides: frames with one row for each step, without gaps.
        phases: wanted steps of each half hour; 0 is the full and the half hour. Each phase takes the same time.
        since: only rows from this moment on are wanted; null: all.
    Returns:
        `service` is the place of its frame among the wide ones, Int32.
    Raises:
        InputError: a name is not in the catalog.
        InvalidFrameError: a frame lacks a column that the features read.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InputError(f"no such feature: {', '.join(unknown)}")
    try:
        steps = _one_below_the_other(wides, since).with_columns(_phase=phase_of(pl.col("ts")))
        for columns in (*HIDDEN, STAGES[0]):
            steps = steps.with_columns(**columns)
        parts = [
            _half_hourly(steps, phase)
            .filter(pl.col("service").is_not_null() & (True if since is None else pl.col("ts") >= since))
            .select("service", "ts", *map(_rounded, names))
            for phase in phases
        ]
    except (pl.exceptions.ColumnNotFoundError, pl.exceptions.ShapeError) as error:
        raise InvalidFrameError(f"a wide frame lacks a column: {error}") from error
    return parts[0] if len(parts) == 1 else pl.concat(parts).sort("service", "ts")


def _one_below_the_other(wides: Sequence[pl.DataFrame], since: datetime | None) -> pl.DataFrame:
    """One frame below the other, with its number as `service`. Wanted rows do not look back into the frame above.

    Empty rows are added between two frames where fewer rows than the look-back lie before the wanted ones, and after
    values so large that running sums would not get rid of them.
    """
    step = timedelta(seconds=DEFAULT_STEP_S)
    stacked = []
    for number, wide in enumerate(wides):
        first = wide.item(0, "ts")
        own = 0 if since is None or not _is_ordinary(wides[number - 1]) else (since - first) // step
        gap = pl.int_range(min(0, own - LOOKBACK_H * PER_H), 0, eager=True) * step
        if number > 0 and len(gap):
            times = (first + gap).cast(TIME)
            stacked.append(wide.clear(len(gap)).with_columns(ts=times, service=pl.lit(None, pl.Int32)))
        stacked.append(wide.with_columns(service=pl.lit(number, pl.Int32)))
    return pl.concat(stacked)


def _is_ordinary(wide: pl.DataFrame) -> bool:
    shares = wide.select(pl.max_horizontal(pl.col(*SLOTS, *UPSTREAM).abs().max()))
    return (shares.item() or 0.0) <= ORDINARY_SHARE


def _half_hourly(steps: pl.DataFrame, phase: int) -> pl.DataFrame:
    """The rows at this step of their half hour, with the features of all stages."""
    wanted = steps.get_column("_phase") == phase
    lines = resources.line_columns(steps, wanted.arg_true().to_numpy().astype(np.int64))
    rows = steps.filter(wanted).with_columns(**lines)
    # One stage after the other, because Polars needs seconds to optimise a lazy query over all of them.
    for number, stage in enumerate(STAGES[1:], start=1):
        for columns in (*HIDDEN_AT.get(number, ()), stage):
            rows = rows.with_columns(**columns)
    return rows


def _rounded(name: str) -> pl.Expr:
    """Round the features. Spreads are not exact: their last digits depend on where their sums began."""
    return pl.col(name).round(DIGITS)


def phase_of(ts: pl.Expr) -> pl.Expr:
    """The step of a moment within its half hour."""
    return ts.dt.epoch("s") // DEFAULT_STEP_S % RASTER


def checked_values(frame: pl.DataFrame, names: Sequence[str] = FEATURE_NAMES) -> FloatArray:
    """The features as a matrix (rows, names) in column-major order; missing is NaN.

    Raises:
        InvalidFrameError: a feature has a value outside its range; names the first one.
    """
    wanted = frame.select(names)
    values = wanted.to_numpy(order="fortran")
    low, high = np.array([(BY_NAME[name].low - 1e-9, BY_NAME[name].high + 1e-9) for name in names]).T
    # Missing values are null here and become NaN. A column with only nulls has no minimum and no maximum.
    nan = np.isnan(values).sum(axis=0) != wanted.null_count().row(0)
    broken = nan | (np.fmin.reduce(values, axis=0) < low) | (np.fmax.reduce(values, axis=0) > high)
    if broken.any():
        name = names[int(np.argmax(broken))]
        raise InvalidFrameError(
            f"feature {name!r} has values outside [{BY_NAME[name].low}, {BY_NAME[name].high}]"
        )
    return values
