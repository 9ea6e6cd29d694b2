"""Features of the two resources that will be full first, whichever they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import polars as pl

from features import windows
from features.feature import Feature
from features.resources import FILLING, LINES_H, RISE_H, STRAYS_H, room_of

#: Families for the resource that will be full first. Through them an incident of one resource teaches about all.
FIRST = (
    "level_15m", "slope_1h", "slope_3h", "slope_6h", "slope_24h", "hours_to_limit_1h", "hours_to_limit_3h",
    "hours_to_limit_6h", "hours_since_tenth", "hours_since_half", "hours_since_most", "hours_to_limit_since_half",
    "hours_to_limit_since_most", "in_3h_at_1h", "in_3h_at_3h", "in_3h_at_6h", "beyond_usual_1h", "beyond_usual_3h",
    "beyond_usual_6h", "pace_change_6h", "below_high_6h", "rising_share_12h", "acceleration_3h", "spread_1h",
    "deviation", "times_usual_slope", "above_ceiling", "rise_24h",
    "way_15m", "way_1h", "hours_on_way", "hours_to_limit_since_usual",
)  # fmt: skip
#: Families for the resource that will be full second.
SECOND = (
    "level_15m", "way_15m", "hours_on_way", "in_3h_at_3h", "slope_3h", "hours_to_limit_since_half", "below_high_6h",
)  # fmt: skip
#: Families in hours to the limit.
RANKS = ("first", "second")
#: The median of the hours to the limit at these paces decides which resource is first.
PACES = ("3h", "6h", "since_half", "since_most", "since_usual")

#: Families that compare the way with its line.
OFF_H = (2, 3, 6)
#: Smallest deviation from a line, as a share of the way.
LEAST_STRAY = 0.002


def of_ranked(features: Mapping[str, Feature]) -> Iterable[Feature]:
    for rank, families in zip(RANKS, (FIRST, SECOND), strict=True):
        for family in families:
            one = features[f"{FILLING[0]}_{family}"]
            picked = _of_rank(rank, {slot: pl.col(f"{slot}_{family}") for slot in FILLING})
            yield replace(one, name=f"{rank}_{family}", expression=picked, slot=rank, stage=4)
        middle = _of_rank(rank, {slot: pl.col(f"_middle_{slot}") for slot in FILLING})
        name = f"{rank}_hours_to_limit_middle"
        yield Feature(name, middle, rank, "hours_to_limit_middle", RISE_H, 0.0, windows.HOURS_CAP, 4)
    for hours in LINES_H:
        level, slope = (_of_line(field, hours) for field in ("level", "slope"))
        yield Feature(
            f"first_line_way_{hours}h", level.clip(-5.0, 5.0), "first", "line_way", hours, -5.0, 5.0, 4
        )
        yield Feature(f"first_line_pace_{hours}h", slope, "first", "line_pace", hours, stage=4)
        until = windows.hours_to_limit(
            pl.col(f"first_line_way_{hours}h"), pl.col(f"first_line_pace_{hours}h")
        )
        name = f"first_line_hours_to_limit_{hours}h"
        yield Feature(name, until, "first", "line_hours_to_limit", hours, 0.0, windows.HOURS_CAP, 5)
        if hours in OFF_H:
            off = pl.col("first_way_15m") - pl.col(f"first_line_way_{hours}h")
            yield Feature(f"first_off_line_{hours}h", off, "first", "off_line", hours, stage=5)
        if hours in STRAYS_H:
            yield from _of_strays(hours)
    share = pl.col("cpu_unexplained_rise") / pl.col("first_way_1h").clip(lower_bound=windows.LEAST_ROOM)
    yield Feature("first_cpu_of_way", share, "first", "cpu_of_way", 1, stage=5)


def _of_strays(hours: int) -> Iterable[Feature]:
    """The deviation of the first slot from its line, and the distance to the limit and the slope in units of it."""
    name = f"first_line_strays_{hours}h"
    yield Feature(name, _of_line("strays", hours), "first", "line_strays", hours, 0.0, stage=4)
    least = pl.col(name).clip(lower_bound=LEAST_STRAY)
    off = ((1.0 - pl.col(f"first_line_way_{hours}h")) / least).clip(-20.0, 500.0)
    yield Feature(f"first_limit_in_strays_{hours}h", off, "first", "limit_in_strays", hours, -20.0, 500.0, 5)
    steep = (pl.col(f"first_line_pace_{hours}h") / least).clip(-100.0, 100.0)
    yield Feature(f"first_pace_in_strays_{hours}h", steep, "first", "pace_in_strays", hours, -100.0, 100.0, 5)


def _of_rank(rank: str, columns: Mapping[str, pl.Expr]) -> pl.Expr:
    """The column of the slot with this rank."""
    # Stacking all slots and taking one value for each row is several times as fast as `when`/`then`.
    below = reduce(lambda above, slot: above.append(columns[slot]), FILLING[1:], columns[FILLING[0]])
    return below.gather(pl.col(f"_{rank}"))


def _of_line(field: str, hours: int) -> pl.Expr:
    """A line through the last hours of the first slot, as a share of its way."""

    def share(slot: str) -> pl.Expr:
        value = pl.col(f"_line_{slot}_{field}_{hours}")
        if field == "level":
            value = value - pl.col(f"_usual_{slot}")
        return value / room_of(slot)

    return _of_rank("first", {slot: share(slot) for slot in FILLING})


def ranks() -> tuple[dict[str, pl.Expr], ...]:
    """Which slot is first and which second on its way to its limit (the earlier of equals): where its values are found
    for each row, all slots below each other in the order of `FILLING`."""
    middles = {}
    for slot in FILLING:
        hours = [pl.col(f"{slot}_hours_to_limit_{pace}").fill_null(windows.HOURS_CAP) for pace in PACES]
        middles[f"_middle_{slot}"] = pl.map_batches(hours, _middle, return_dtype=pl.Float64)
    order = pl.map_batches(list(middles), _order, return_dtype=pl.Struct(dict.fromkeys(RANKS, pl.Int64)))
    return (
        middles,
        {"_order": order},
        {
            f"_{rank}": pl.col("_order").struct.field(rank) * pl.len() + pl.int_range(pl.len())
            for rank in RANKS
        },
    )


def _middle(columns: Sequence[pl.Series]) -> pl.Series:
    return pl.Series(np.median([column.to_numpy() for column in columns], axis=0))


def _order(columns: Sequence[pl.Series]) -> pl.Series:
    order = np.argsort([column.to_numpy() for column in columns], axis=0, kind="stable")
    return pl.DataFrame({rank: order[place] for place, rank in enumerate(RANKS)}).to_struct()
