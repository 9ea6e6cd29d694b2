"""What a person's limit or SLO says of a series: where it lies, which side of it is bad, and what lies past it.

References:
    Genovese, Roeder and Wasserman (2006), False discovery control with p-value weighting, Biometrika 93.
"""

import numpy as np

from core.arrays import BoolArray, FloatArray
from core.domain import Role, Series
from core.metric_names import lower_is_worse

#: A disk or a pool fails a little before its physical end: reserved blocks, kept-back connections.
FULL_AT = 0.98
_MORE_IS_WORSE = (Role.LATENCY, Role.ERRORS, Role.SATURATION)
#: (values in a row past a threshold where that is not expected, how many times as likely an incident is then). Chosen
#: on simulated fleets, see docs/decisions/what-a-threshold-is-worth.md.
WEIGHTS_PAST = ((3, 10.0), (6, 30.0))


def threshold_of(series: Series) -> float | None:
    """The value that counts as a breach: the SLO, else a little before the physical end.

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
    """True where too much is bad; false for what is free, available or successful.

    Args:
        usual: a usual value; where neither name nor role tells, the threshold lies on the bad side of it.
    """
    if lower_is_worse(series.metric):
        return False
    if series.role in _MORE_IS_WORSE or usual is None:
        return True
    threshold = threshold_of(series)
    return threshold is None or threshold >= usual


def is_past(values: FloatArray, threshold: float, *, upward: bool) -> BoolArray:
    """Where values are at the threshold or on its bad side; false where missing."""
    return np.asarray(values >= threshold if upward else values <= threshold)


def weights(series: Series, values: FloatArray, expected: FloatArray) -> FloatArray:
    """How much sooner than another each value may be called an anomaly: 1, or as `WEIGHTS_PAST` says.

    A threshold that a person set is knowledge that no history has. What stays past it, where it is not expected, is
    believed at a p-value that much higher. Such moments are rare in quiet times, so that the mean weight stays near 1
    and the alert budget is kept.

    Args:
        values: of the series in order of time, NaN = missing; expected: of the same moments.
    Returns:
        Float64, shape of `values`.
    """
    out = np.ones(values.shape)
    known = np.flatnonzero(np.isfinite(values))
    threshold = threshold_of(series)
    if threshold is None or known.size == 0:
        return out
    # By the first value: one that comes later must not change what was said before.
    upward = is_upward(series, float(expected[known[0]]))
    past = is_past(values[known], threshold, upward=upward)
    unusual = ~is_past(expected[known], threshold, upward=upward)
    for in_a_row, weight in WEIGHTS_PAST:
        lasting = np.convolve(past, np.ones(in_a_row))[: past.size] >= in_a_row
        out[known[lasting & unusual]] = weight
    return out
