"""What a level would be without what is no trouble: the traffic's share of it, and teeth that come and go.

Everything looks only back, over at most `DAYS` and half a day.
"""

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.domain import DEFAULT_STEP_S

PER_H = 3600 // DEFAULT_STEP_S
PER_DAY = 24 * PER_H
#: How far back the traffic's share and the teeth are learned from.
DAYS = 4
#: The newest hours are left out of what is learned, so that a rise does not explain itself.
LEFT_OUT_H = 12
#: A gap in the traffic is bridged this far.
BRIDGED = PER_H
#: Teeth are told from noise by drops this many times as large as usual moves, and larger than this share of the limit.
DROP_IN_MOVES, SMALLEST_DROP = 4.0, 0.006
#: Drops of about the same height, about equally far apart, are teeth: at least so many of them.
FEWEST_DROPS = 3
SAME_HEIGHT, SAME_GAP, REGULAR = (0.6, 1.6), 0.35, 0.5

Floats = NDArray[np.float64]


def without_traffic(level: pl.Expr, traffic: pl.Expr) -> pl.Expr:
    """The level less what the traffic explains of it: the slope of a line through the last days, never negative."""
    window, late = DAYS * PER_DAY, LEFT_OUT_H * PER_H
    both = level.is_not_null() & traffic.is_not_null()
    x, y = pl.when(both).then(traffic), pl.when(both).then(level)

    def mean(column: pl.Expr) -> pl.Expr:
        return column.rolling_mean(window, min_samples=PER_DAY // 2)

    spread = (mean(x * x) - mean(x) ** 2).clip(lower_bound=1e-6)
    share = ((mean(x * y) - mean(x) * mean(y)) / spread).clip(lower_bound=0.0)
    explained = share.shift(late) * (traffic.forward_fill(BRIDGED) - mean(x).shift(late))
    return level - explained.fill_null(0.0)


def tooth(level: pl.Expr, ahead: int = 0) -> pl.Expr:
    """How far up its present tooth a sawtooth (log rotation, a cache that is emptied) is by now, or `ahead` steps on.

    Height and length are the medians of the last days' teeth; 0 where the level has none.
    """

    def height(values: pl.Series) -> pl.Series:
        moves = values.diff().abs()
        least = np.maximum(
            DROP_IN_MOVES * moves.rolling_mean(PER_DAY, min_samples=PER_H).fill_null(1.0).to_numpy(),
            SMALLEST_DROP,
        )
        known = values.forward_fill(BRIDGED).fill_null(0.0).to_numpy()
        return pl.Series(_teeth(known, least, ahead))

    return level.map_batches(height, return_dtype=pl.Float64)


@numba.njit(cache=True)
def _teeth(level: Floats, least: Floats, ahead: int) -> Floats:
    """Where each moment is on its tooth, from the drops of the days before it."""
    out = np.zeros(len(level))
    at, size = np.zeros(len(level), dtype=np.int64), np.zeros(len(level))
    first = count = 0
    height, gap, began = 0.0, 0.0, -1
    for now in range(3, len(level)):
        # A drop is known a step after it: within two steps, and steeper than those beside it.
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
            way = (now + ahead - began) / gap
            if ahead > 0 and way >= 1.0:
                way = way - 1.0 if way < 2.0 else 0.5
            out[now] = height * min(way, 1.1)
    return out
