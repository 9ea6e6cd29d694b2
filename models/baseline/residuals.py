"""How far values stray from what was expected, with a level that follows slowly.

The seasonal part comes from the baseline; the level moves on with the values, so that a night-old baseline
does not call a gentle drift an outlier, while a fast one still stands out.
"""

from collections.abc import Sequence

import numba
import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S
from models.baseline.baselines import Baselines

#: The level forgets half in this time: slower than any incident, faster than next week.
HALF_LIFE_S = DAY_S
#: A value moves the level no more than one this many spreads away: outliers must not become normal.
CLIP = 3.0
#: From one hour after a deploy, when a bad one has shown itself, to six hours after, the level forgets half within
#: the hour: what the deploy shifted for good is normal the same day.
SETTLE_AFTER_S, SETTLE_UNTIL_S, SETTLE_HALF_LIFE_S = 3600, 6 * 3600, 3600


@numba.njit(cache=True, nogil=True)
def _follow(
    flat: FloatArray,
    scale: FloatArray,
    start: float,
    weight: float,
    clip: float,
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
            level += weight * scale[i] * min(max(gap, -clip), clip)
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
    """(value - expected) in units of the baseline's spread, signed; NaN where the value is missing.

    Args:
        times_s: epoch seconds of the values, rising.
        deploys_s: epoch seconds of the deploys of its service; some time after one, the level follows quickly.
        from_end: the values come after what was learned (start at its level); else start at their own first.
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
    return np.asarray(_follow(flat, scale, start, weight, CLIP, settling, quick))
