"""Proposes a threshold for latency and errors that nobody gave an SLO, from the history of the series.

A proposed threshold lies clearly above the worst that is usual for the series. It tells when a series leaves its own
history, and not when users notice; only a person can tell that. So people may accept it as SLO, and alerts call it
proposed. `docs/decisions/proposed-thresholds.md` has the reasons and the measured false alarms.
"""

import math

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Role, Series, SeriesKind
from core.durations import DAY_S, HOUR_S, WEEK_S
from models.series.magnitude import bounded
from models.series.thresholds import is_upward, threshold_of

#: The level of a breach is the median of so many samples (`models.breach.bundle`), so the same is measured here.
SMOOTH_OVER = 3
#: Fewer hours with values than this do not show a whole day.
LEAST_HOURS = 20
#: With so many weeks, the worst of each week counts; with fewer, the worst of each day.
LEAST_WEEKS = 3
#: A week with fewer days of values is left out.
LEAST_DAYS_OF_WEEK = 5
#: Of the days of a short history, so many may be worse than the usual worst: an incident, or a job of the weekend.
USUAL_SHARE_OF_DAYS = 0.75
#: Room above the usual worst, as a share of it and of its distance from the usual value. A short history shows less of
#: what is usual, so it needs more.
ROOM, ROOM_OF_SHORT_HISTORY = 0.5, 1.0
#: Room above the usual worst, in differences between the worst values of ordinary weeks (or days).
ROOM_OF_SPREAD = 3.0
#: A stored proposal stays until the new one differs by more than this factor: small changes would reopen alerts.
CLEARLY_DIFFERENT = 1.3
#: Nothing below these is worth a message: a share of failed requests, errors per second, seconds of latency.
LEAST_RATIO, LEAST_RATE, LEAST_SECONDS = 0.01, 0.01, 0.01
_SECONDS_OF = {"seconds": 1.0, "s": 1.0, "ms": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "ns": 1e-9}


def may_be_proposed(series: Series) -> bool:
    """Whether a threshold is proposed: for latency, ratios of errors and rates of errors without SLO and limit.

    Counts and states (nodes that are missing, 1 while something is down) are left out: their history tells nothing.

    Examples:
        >>> may_be_proposed(Series(tenant="t", service="cart", metric="latency_p99_seconds", role=Role.LATENCY))
        True
    """
    if threshold_of(series) is not None:
        return False
    if series.role is Role.LATENCY:
        return is_upward(series)
    if series.role is not Role.ERRORS:
        return False
    return _is_ratio(series) or (series.unit.endswith("/s") and is_upward(series))


def propose_threshold(
    series: Series, values: FloatArray, *, step_s: int, current: float | None = None
) -> float | None:
    """A threshold clearly beyond the usual worst of the series.

    The usual worst is the lower median of the worst values of the weeks, so that an incident that touches two of four
    weeks does not raise it, and a job that runs every week does.

    Args:
        values: of the last weeks on an even grid, in the unit of the series; NaN = missing or excluded.
        step_s: seconds between values.
        current: the proposal that is stored; it stays while the new one is about the same, or while there is none.
    Returns:
        null if none may or can be proposed.
    """
    if not may_be_proposed(series):
        return None
    upward = is_upward(series)
    # Of a success ratio, the errors count.
    bad = bounded(values if upward else 1.0 - values)
    found = _proposed(bad, step_s, _least(series))
    # No ratio can reach 1 and more.
    if found is None or (_is_ratio(series) and found >= 1.0):
        return current
    before = None if current is None else current if upward else 1.0 - current
    if before is not None and found / CLEARLY_DIFFERENT <= before <= found * CLEARLY_DIFFERENT:
        return current
    return found if upward else _rounded(1.0 - found)


def _proposed(bad: FloatArray, step_s: int, least: float) -> float | None:
    known = np.flatnonzero(np.isfinite(bad))
    if np.unique(known * step_s // HOUR_S).size < LEAST_HOURS:
        return None
    smooth = pl.Series(bad[known]).rolling_median(SMOOTH_OVER).to_numpy()[SMOOTH_OVER - 1 :]
    # Counted back from the end, so that no block is cut short by the present.
    ago_s = (known[-1] - known[SMOOTH_OVER - 1 :]) * step_s
    weekly = _worst_of_weeks(smooth, ago_s)
    if len(weekly) >= LEAST_WEEKS:
        worst, room = weekly, ROOM
        usual_worst = float(np.sort(worst)[(len(worst) - 1) // 2])
    else:
        worst, room = _worst_of_blocks(smooth, ago_s // DAY_S), ROOM_OF_SHORT_HISTORY
        usual_worst = float(np.sort(worst)[int(USUAL_SHARE_OF_DAYS * (len(worst) - 1))])
    usual = float(np.median(smooth))
    # Between ordinary weeks alone: those with an incident say nothing about what is usual.
    spread = usual_worst - float(np.median(worst[worst <= usual_worst]))
    above = max(room * abs(usual_worst), 2 * room * (usual_worst - usual), ROOM_OF_SPREAD * spread)
    proposed = max(usual_worst + above, least)
    return _rounded_up(proposed) if math.isfinite(proposed) and proposed > 0 else None


def _worst_of_weeks(smooth: FloatArray, ago_s: IntArray) -> FloatArray:
    """The largest value of each week that is known well, newest first."""
    found = []
    for week in range(int(ago_s.max()) // WEEK_S + 1):
        mine = ago_s // WEEK_S == week
        if np.unique(ago_s[mine] // DAY_S).size >= LEAST_DAYS_OF_WEEK:
            found.append(smooth[mine].max())
    return np.array(found)


def _worst_of_blocks(smooth: FloatArray, block: IntArray) -> FloatArray:
    return np.array([smooth[block == one].max() for one in np.unique(block)])


def _is_ratio(series: Series) -> bool:
    return series.kind is SeriesKind.RATIO or series.unit == "ratio"


def _least(series: Series) -> float:
    """The smallest threshold that means anything, in the unit of the series; 0 if the unit tells none."""
    if series.role is Role.LATENCY:
        return LEAST_SECONDS / _SECONDS_OF[series.unit] if series.unit in _SECONDS_OF else 0.0
    return LEAST_RATIO if _is_ratio(series) else LEAST_RATE


def _rounded_up(value: float) -> float:
    """The next larger number with two digits: people have to read it, and to write it down as SLO.

    Examples:
        >>> [_rounded_up(one) for one in (0.01, 0.1234, 1750.1)]
        [0.01, 0.13, 1800.0]
    """
    digits = 1 - math.floor(math.log10(value))
    rounded = float(f"{value:.1e}")
    return rounded if rounded >= value else _rounded(rounded + 10.0**-digits)


def _rounded(value: float) -> float:
    """Without the noise of binary fractions."""
    return float(f"{value:.6g}")
