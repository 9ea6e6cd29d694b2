"""Removes the harmless parts of a level: what traffic explains, and sawtooth cycles.

All functions read only the past, at most `DAYS` and half a day of it.
"""

from collections.abc import Sequence

import numba
import numpy as np
import polars as pl

from core.arrays import FloatArray
from features.feature import PER_H
from features.missing import column_of, floats_of

PER_DAY = 24 * PER_H
#: The influence of traffic and the sawtooth are learned from so many days.
DAYS = 4
#: Nothing is learned from the newest hours, so that a rise does not explain itself.
LEFT_OUT_H = 12
#: Gaps of up to so many steps in the traffic are filled with the value before.
BRIDGED = PER_H
#: A drop ends a tooth if it is this many times as large as usual changes, and larger than this share of the limit.
DROP_IN_MOVES, SMALLEST_DROP = 4.0, 0.006
#: A sawtooth has at least so many drops of similar height at similar distances.
FEWEST_DROPS = 3
SAME_HEIGHT, SAME_GAP, REGULAR = (0.6, 1.6), 0.35, 0.5

#: The fields that `teeth` returns.
TEETH = ("now", "ahead")


def without_traffic(level: pl.Expr, traffic: pl.Expr) -> pl.Expr:
    """The level minus the part that traffic explains, by a line through the last days with a slope >= 0."""

    def less(columns: Sequence[pl.Series]) -> pl.Series:
        own, asked = (floats_of(column) for column in columns)
        bridged = floats_of(columns[1].forward_fill(BRIDGED))
        return column_of(_less_explained(own, asked, bridged))

    return pl.map_batches([level, traffic], less, return_dtype=pl.Float64)


@numba.njit(cache=True)
def _less_explained(level: FloatArray, traffic: FloatArray, bridged: FloatArray) -> FloatArray:
    """One pass with running sums. The sums are exact, because shares are multiples of `features.grid.RESOLUTION`."""
    window, late, least = DAYS * PER_DAY, LEFT_OUT_H * PER_H, PER_DAY // 2
    rows = len(level)
    out = level.copy()
    share, middle = np.full(rows, np.nan), np.full(rows, np.nan)
    count, x, y, xx, xy = 0, 0.0, 0.0, 0.0, 0.0
    for now in range(rows):
        if not np.isnan(level[now] + traffic[now]):
            count += 1
            x, y = x + traffic[now], y + level[now]
            xx, xy = xx + traffic[now] * traffic[now], xy + traffic[now] * level[now]
        gone = now - window
        if gone >= 0 and not np.isnan(level[gone] + traffic[gone]):
            count -= 1
            x, y = x - traffic[gone], y - level[gone]
            xx, xy = xx - traffic[gone] * traffic[gone], xy - traffic[gone] * level[gone]
        if count >= least:
            middle[now] = x / count
            spread = max(xx / count - middle[now] * middle[now], 1e-6)
            share[now] = max((xy / count - middle[now] * (y / count)) / spread, 0.0)
        learned = now - late
        if learned >= 0 and not np.isnan(share[learned] + bridged[now]):
            out[now] -= share[learned] * (bridged[now] - middle[learned])
    return out


def teeth(level: pl.Expr, ahead: int) -> pl.Expr:
    """The height of a sawtooth (log rotation, an emptied cache) on its present tooth: `now`, and `ahead` steps later.

    Height and length are medians over the teeth of the last days; 0 without a sawtooth.
    """

    def heights(values: pl.Series) -> pl.Series:
        moves = values.diff().abs()
        least = np.maximum(
            DROP_IN_MOVES * moves.rolling_mean(PER_DAY, min_samples=PER_H).fill_null(1.0).to_numpy(),
            SMALLEST_DROP,
        )
        known = values.forward_fill(BRIDGED).fill_null(0.0).to_numpy()
        made = dict(zip(TEETH, _teeth(known, least, ahead), strict=True))
        return pl.DataFrame(made).to_struct()

    return level.map_batches(heights, return_dtype=pl.Struct(dict.fromkeys(TEETH, pl.Float64)))


@numba.njit(cache=True)
def _teeth(level: FloatArray, least: FloatArray, ahead: int) -> tuple[FloatArray, FloatArray]:
    """The height on the tooth at each moment and `ahead` steps later, from the drops of the days before."""
    out, later = np.zeros(len(level)), np.zeros(len(level))
    at, size = np.zeros(len(level), dtype=np.int64), np.zeros(len(level))
    first = count = 0
    height, gap, began = 0.0, 0.0, -1
    for now in range(3, len(level)):
        # A drop is recognised one step later: it happens within two steps and is steeper than its neighbours.
        drop = level[now - 3] - level[now - 1]
        before = level[now - 4] - level[now - 2] if now > 3 else 0.0
        after = level[now - 2] - level[now]
        is_drop = drop > least[now] and drop >= after and drop >= before
        if is_drop and (count == 0 or now - 1 - at[count - 1] > PER_H // 2):
            at[count], size[count] = now - 1, drop
            count += 1
        else:
            is_drop = False
        gone = False
        while first < count and at[first] < now - DAYS * PER_DAY:
            first += 1
            gone = True
        if is_drop or gone:
            height, gap, began = 0.0, 0.0, -1
            if count - first >= FEWEST_DROPS:
                usual = float(np.median(size[first:count]))
                same = (size[first:count] > SAME_HEIGHT[0] * usual) & (
                    size[first:count] < SAME_HEIGHT[1] * usual
                )
                places = at[first:count][same]
                if len(places) >= FEWEST_DROPS:
                    gaps = (places[1:] - places[:-1]).astype(np.float64)
                    length = float(np.median(gaps))
                    if np.mean(np.abs(gaps / length - 1.0) < SAME_GAP) >= REGULAR:
                        height, gap, began = usual, length, int(places[-1])
        if began >= 0:
            out[now] = height * min((now - began) / gap, 1.1)
            way = (now + ahead - began) / gap
            # After the end of this tooth the next one begins; nothing is known after that one.
            if way >= 1.0:
                way = way - 1.0 if way < 2.0 else 0.5
            later[now] = height * way
    return out, later
