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
    """The value that counts as a breach: the SLO threshold, else a little below the limit."""
    if series.slo_threshold is not None or series.limit is None:
        return series.slo_threshold
    return FULL_AT * series.limit


def is_upward(series: Series, usual: float | None = None) -> bool:
    """True if high values are bad; false if low values are, as of free space or a success rate.

    Args:
        usual: a usual value. If neither name nor role decides, its side of the threshold does.
    """
    if lower_is_worse(series.metric):
        return False
    threshold = threshold_of(series)
    return series.role in _MORE_IS_WORSE or usual is None or threshold is None or threshold >= usual


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
