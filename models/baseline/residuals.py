"""Deviations of values from their expected values, with a level that follows the values slowly.

The seasonal part comes from the baseline. The level follows the values, so that a slow drift since the last training is
no deviation, but a fast one is.
"""

from collections.abc import Sequence

import numba
import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S, HOUR_S
from models.baseline.baselines import Baselines

#: After this time half of the level comes from newer values: slower than an incident, faster than a week.
HALF_LIFE_S = DAY_S
#: A value further away than this many spreads moves the level no more than that. So outliers do not become normal.
CLIP = 3.0
#: A value further away than this many spreads moves the level only by this much. So outliers do not become normal.
#: on the same day. In the first hour a bad deploy becomes visible.
SETTLE_AFTER_S, SETTLE_UNTIL_S, SETTLE_HALF_LIFE_S = HOUR_S, 6 * HOUR_S, HOUR_S


@numba.njit(cache=True, nogil=True)
def _follow(
    flat: FloatArray,
    scale: FloatArray,
    start: float,
    weight: float,
    settling: BoolArray,
    quick: float,
) -> FloatArray:
    out = np.empty(flat.size)
    level = start
    for i in range(flat.size):
        gap = (flat[i] - level) / scale[i]
        out[i] = gap
        if np.isnan(gap):
            continue
        if settling[i]:
            level += quick * scale[i] * gap
        else:
            level += weight * scale[i] * min(max(gap, -CLIP), CLIP)
    return out


def residuals(
    baselines: Baselines,
    row: int,
    times_s: IntArray,
    values: FloatArray,
    step_s: int,
    *,
    from_end: bool = True,
    deploys_s: Sequence[int] = (),
) -> FloatArray:
    """(value - expected) in units of the baseline's spread, signed; NaN for missing values.

    Args:
        times_s: epoch seconds of the values, ascending.
        from_end: true if the values follow the history of the baseline; the level starts at its end then. Otherwise the
            level starts at the median of the first day of the values.
        deploys_s: epoch seconds of the deploys of the service; the level follows quickly some time after each.
    """
    flat = values - baselines.season(row, times_s)
    scale = baselines.scale_at(row, times_s)
    start = baselines.level[row] if from_end else np.nan
    if np.isnan(start):
        known = flat[np.isfinite(flat)][: max(1, DAY_S // step_s)]
        start = float(np.median(known)) if known.size else 0.0
    weight = 1.0 - 0.5 ** (step_s / HALF_LIFE_S)
    settling = np.zeros(times_s.size, dtype=np.bool_)
    for deploy in deploys_s:
        settling |= (times_s >= deploy + SETTLE_AFTER_S) & (times_s < deploy + SETTLE_UNTIL_S)
    quick = 1.0 - 0.5 ** (step_s / SETTLE_HALF_LIFE_S)
    return np.asarray(_follow(flat, scale, start, weight, settling, quick))
