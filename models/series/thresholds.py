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
    """The value that counts as a breach: the SLO, else a little before the physical end."""
    if series.slo_threshold is not None or series.limit is None:
        return series.slo_threshold
    return FULL_AT * series.limit


def is_upward(series: Series, usual: float | None = None) -> bool:
    """True where too much is bad; false for what is free, available or successful.

    Args:
        usual: a usual value; where neither name nor role tells, the threshold lies on the bad side of it.
    """
    if lower_is_worse(series.metric):
        return False
    threshold = threshold_of(series)
    return series.role in _MORE_IS_WORSE or usual is None or threshold is None or threshold >= usual


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
