"""The threshold of a series: its value, its bad side, and how much values beyond it weigh.

References:
    Genovese, Roeder and Wasserman (2006), False discovery control with p-value weighting, Biometrika 93.
"""

import numpy as np

from core.arrays import BoolArray, FloatArray
from core.domain import Role, Series
from core.metric_names import lower_is_worse

#: A disk or a pool fails a little below its limit, because some blocks or connections are reserved.
FULL_AT = 0.98
_MORE_IS_WORSE = (Role.LATENCY, Role.ERRORS, Role.SATURATION)
#: (number of successive values past the threshold that are not expected there, factor by which an incident is more
#: likely then). Chosen on simulated fleets, see docs/decisions/what-a-threshold-is-worth.md.
WEIGHTS_PAST = ((3, 10.0), (6, 30.0))


def threshold_of(series: Series) -> float | None:
    """The value that counts as a breach: the SLO threshold, else a little before the physical end.

    The end of what is free or left over is 0, and its limit is the size of the whole: 2 GB free of a disk of 100 GB is
    as full as 98 GB used. A limit of 0 states the end alone; the size is unknown, so the threshold is the end itself.
    """
    if series.slo_threshold is not None or series.limit is None:
        return series.slo_threshold
    limit = series.limit
    if is_upward(series):
        return FULL_AT * limit if limit >= 0 else (2 - FULL_AT) * limit
    return (1 - FULL_AT) * limit if limit > 0 else FULL_AT * limit


def end_of(series: Series) -> float | None:
    """The physical end, where nothing more fits or nothing is left; null if no limit is known."""
    if series.limit is None or is_upward(series):
        return series.limit
    return min(series.limit, 0.0)


def used_share(series: Series, value: float) -> float | None:
    """How much of the resource is used, as a share of what may be used up to the threshold.

    At least 0; 1 at the threshold, more beyond it. Null if the share is unknown: for what is left over, without the
    size of the whole, and for a threshold that is not above 0.
    """
    threshold = threshold_of(series)
    if threshold is None:
        return None
    if is_upward(series):
        return max(value / threshold, 0.0) if threshold > 0 else None
    size = series.limit
    if size is None or size <= threshold:
        return None
    return max((size - value) / (size - threshold), 0.0)


def is_upward(series: Series, usual: float | None = None) -> bool:
    """True if high values are bad; false if low values are, as of free space or a success rate.

    Args:
        usual: a usual value. If neither name nor role decides, its side of the threshold does.
    """
    if lower_is_worse(series.metric):
        return False
    if series.role in _MORE_IS_WORSE or usual is None:
        return True
    threshold = threshold_of(series)
    return threshold is None or threshold >= usual


def is_past(values: FloatArray, threshold: float, *, upward: bool) -> BoolArray:
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
    threshold = threshold_of(series)
    if threshold is None or known.size == 0:
        return out
    # The first value decides: a later value must not change earlier results.
    upward = is_upward(series, float(expected[known[0]]))
    past = is_past(values[known], threshold, upward=upward)
    unusual = ~is_past(expected[known], threshold, upward=upward)
    for in_a_row, weight in WEIGHTS_PAST:
        lasting = np.convolve(past, np.ones(in_a_row))[: past.size] >= in_a_row
        out[known[lasting & unusual]] = weight
    return out
