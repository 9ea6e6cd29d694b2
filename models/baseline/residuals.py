"""Deviations of values from their expected values, with a level that follows the values slowly.

The seasonal part comes from the baseline. The level follows the values, so that a slow drift since the last training is
no deviation, but a fast one is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S, HOUR_S
from models.baseline.baselines import Baselines
from models.series.magnitude import FAR, to_ordinary

#: After this time half of the level comes from newer values: slower than an incident, faster than a week.
HALF_LIFE_S = DAY_S
#: A value further away than this many spreads moves the level no more than that. So outliers do not become normal.
CLIP = 3.0
#: From one hour after a deploy to six hours after it, half of the level comes from the newest hour. What the deploy
#: shifted for good is then normal on the same day. In the first hour a bad deploy becomes visible.
SETTLE_AFTER_S, SETTLE_UNTIL_S, SETTLE_HALF_LIFE_S = HOUR_S, 6 * HOUR_S, HOUR_S


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far values are from what was expected, float64, shape (n,).

    Attributes:
        deviation: (value - expected) in units of the baseline's spread, signed; NaN where the value is missing. It is 0
            where the value differs by no more than `Baselines.dead_band`.
        expected: in units of 2**exponent of the baseline, like everything that `Baselines` holds.
    """

    deviation: FloatArray
    expected: FloatArray


class Pace(NamedTuple):
    """How the level follows the values.

    Attributes:
        weight, quick: the share of a value in the level, usually and while a deploy settles, range (0, 1].
        dead_band: a distance up to this is no deviation.
    """

    weight: float
    quick: float
    dead_band: float


@numba.njit(cache=True, nogil=True)
def _follow(
    flat: FloatArray, scale: FloatArray, settling: BoolArray, start: float, pace: Pace
) -> tuple[FloatArray, FloatArray]:
    """The deviation of each value from the level, in spreads, and the level before it."""
    out, levels = np.empty(flat.size), np.empty(flat.size)
    weight, quick, dead_band = pace
    level = start
    for i in range(flat.size):
        distance = flat[i] - level
        gap = (max(distance - dead_band, 0.0) + min(distance + dead_band, 0.0)) / scale[i]
        if np.isnan(distance):
            gap = np.nan
        gap = min(max(gap, -FAR), FAR) if gap == gap else gap
        out[i], levels[i] = gap, level
        if np.isnan(gap):
            continue
        if settling[i]:
            level += quick * scale[i] * gap
        else:
            level += weight * scale[i] * min(max(gap, -CLIP), CLIP)
    return out, levels


def residuals(
    baselines: Baselines,
    row: int,
    times_s: IntArray,
    values: FloatArray,
    step_s: int,
    *,
    from_end: bool = True,
    deploys_s: Sequence[int] = (),
) -> Residuals:
    """Compare values with their expected values.

    Args:
        times_s: epoch seconds of the values, ascending.
        from_end: true if the values follow the history of the baseline; the level starts at its end then. Otherwise the
            level starts at the median of the first day of the values.
        deploys_s: epoch seconds of the deploys of the service; the level follows quickly some time after each.
    """
    season = baselines.season(row, times_s)
    flat = to_ordinary(values, int(baselines.exponent[row])) - season
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
    pace = Pace(weight, quick, dead_band=float(baselines.dead_band[row]))
    deviation, level = _follow(flat, scale, settling, start, pace)
    return Residuals(deviation=deviation, expected=level + season)
