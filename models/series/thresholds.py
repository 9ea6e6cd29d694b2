"""The threshold of a series: its value, its bad side, and how much values beyond it weigh.

References:
    Genovese, Roeder and Wasserman (2006), False discovery control with p-value weighting, Biometrika 93.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from core.arrays import BoolArray, FloatArray
from core.directions import low_is_bad
from core.domain import Role, Series
from core.limit_changes import PastLimits

#: What holds at once when it changes, without training.
_LIMITS = ("limit", "slo_threshold", "direction", "proposed_threshold")
#: A disk or a pool fails a little below its limit, because some blocks or connections are reserved.
FULL_AT = 0.98
_MORE_IS_WORSE = (Role.LATENCY, Role.ERRORS, Role.SATURATION)
#: (number of successive values past the threshold that are not expected there, factor by which an incident is more
#: likely then). Chosen on simulated fleets, see docs/decisions/what-a-threshold-is-worth.md.
WEIGHTS_PAST = ((3, 10.0), (6, 30.0))


def threshold_of(series: Series, usual: float | None = None) -> float | None:
    """The value that counts as a breach: the SLO threshold, else the limit or a little below it.

    Where low values are bad, the limit is the lowest value, mostly 0: nothing is left then. People also declare the
    size of the whole there. A usual value tells: no more can be free than the size, so that a limit that is not below
    the usual value is a size. 2 GB free of 100 GB are as full as 98 GB used.

    Args:
        usual: a usual value, or the largest known one; null: a limit of what is left over is the lowest value.
    """
    if series.slo_threshold is not None or series.limit is None:
        return series.slo_threshold
    limit = series.limit
    if is_upward(series):
        return FULL_AT * limit if limit >= 0 else (2 - FULL_AT) * limit
    is_size = usual is not None and limit > 0 and usual <= limit
    return (1 - FULL_AT) * limit if is_size else limit


def breach_threshold_of(series: Series) -> float | None:
    """The value that a breach crosses: the declared threshold, else the one that is proposed from the history.

    Detection uses the declared one alone: a proposed threshold tells nothing that the baseline does not know.
    """
    declared = threshold_of(series)
    return series.proposed_threshold if declared is None else declared


def thresholds_over_time(
    series: Series,
    past: PastLimits,
    seconds: FloatArray,
    level: Callable[[Series], float | None] = breach_threshold_of,
) -> FloatArray | float | None:
    """The threshold at each moment: by the limit of its time, for a series whose limit has changed.

    Args:
        past: earlier limits of the series.
        seconds: epoch seconds.
        level: the threshold, or another level that depends on the limit.
    """
    if not past:
        return level(series)
    ends = np.array([at.timestamp() for at, _ in past])
    limits = [*(limit for _, limit in past), series.limit]
    levels = [level(replace(series, limit=limit)) for limit in limits]
    found = np.array([np.nan if one is None else one for one in levels])
    return np.asarray(found[np.searchsorted(ends, seconds, side="right")])


def with_limit_of(series: Series, past: PastLimits, at_s: float) -> Series:
    """The series with the limit that it had at a moment, in epoch seconds."""
    earlier = next((limit for ended, limit in past if at_s < ended.timestamp()), None)
    return series if earlier is None else replace(series, limit=earlier)


def is_proposed(series: Series) -> bool:
    """Whether the threshold of a breach is only proposed."""
    return threshold_of(series) is None and series.proposed_threshold is not None


def with_known_limit(series: Series, values: FloatArray) -> Series:
    """The series with the lowest value as limit, where a size was declared for what is left over.

    Args:
        values: of the past, NaN = missing.
    """
    if series.limit is None or is_upward(series) or not np.isfinite(values).any():
        return series
    lowest = threshold_of(replace(series, slo_threshold=None), float(np.nanmax(values)))
    return replace(series, limit=lowest)


def known_past_limits(series: Series, past: PastLimits, values: FloatArray) -> PastLimits:
    """The earlier limits as `with_known_limit` reads them.

    Args:
        values: of the past, NaN = missing.
    """
    known = [(at, with_known_limit(replace(series, limit=limit), values).limit) for at, limit in past]
    return [(at, limit) for at, limit in known if limit is not None]


def with_limits(series: Series, stored: Series) -> Series:
    """The series with thresholds, limit and direction as stored now; the same object if nothing changed."""
    now = {name: getattr(stored, name) for name in _LIMITS}
    if all(getattr(series, name) == value for name, value in now.items()):
        return series
    return replace(series, **now)


def used_share(series: Series, value: float) -> float | None:
    """How much of a resource is used, as a share of what may be used up to the threshold; in [0, 1].

    1 also beyond the threshold. Null for what is left over, because the size of the whole is unknown, and for a
    threshold that is not above 0.
    """
    threshold = threshold_of(series)
    if threshold is None or threshold <= 0 or not is_upward(series):
        return None
    return float(np.clip(value / threshold, 0.0, 1.0))


def is_upward(series: Series, usual: float | None = None) -> bool:
    """True if high values are bad; false if low values are, as of free space or a success rate.

    Args:
        usual: a usual value. If neither a declared direction nor name nor role decides, its side of the threshold does.
    """
    low = low_is_bad(series)
    if low is not None:
        return not low
    if usual is None or (series.direction is None and series.role in _MORE_IS_WORSE):
        return True
    threshold = threshold_of(series)
    return threshold is None or threshold >= usual


def is_past(values: FloatArray, threshold: float | FloatArray, *, upward: bool) -> BoolArray:
    """Whether values are at the threshold or on its bad side; false for NaN."""
    return np.asarray(values >= threshold if upward else values <= threshold)


def weights(series: Series, values: FloatArray, expected: FloatArray) -> FloatArray:
    """The factor by which each value is more likely an incident: 1, or the value of `WEIGHTS_PAST`.

    A threshold that a person set is knowledge that no history has. Values that stay past it unexpectedly count as
    anomalies at a p-value that is higher by this factor. Such values are rare in quiet times, so that the mean factor
    stays near 1 and the alert budget holds.

    Args:
        values: of the series in the order of time, NaN = missing.
        expected: at the same moments.
    Returns:
        Float64, shape of `values`.
    """
    out = np.ones(values.shape)
    known = np.flatnonzero(np.isfinite(values))
    if threshold_of(series) is None or known.size == 0:
        return out
    # The first value decides: a later value must not change earlier results.
    usual = float(expected[known[0]])
    threshold = threshold_of(series, usual)
    assert threshold is not None  # noqa: S101 - checked above
    upward = is_upward(series, usual)
    past = is_past(values[known], threshold, upward=upward)
    unusual = ~is_past(expected[known], threshold, upward=upward)
    for in_a_row, weight in WEIGHTS_PAST:
        lasting = np.convolve(past, np.ones(in_a_row))[: past.size] >= in_a_row
        out[known[lasting & unusual]] = weight
    return out
