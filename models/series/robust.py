"""Order statistics of many rows at once. NaN is ignored."""

import numpy as np

from core.arrays import FloatArray, IntArray

#: 1 / Phi^-1(3/4): makes the median absolute deviation of a normal sample its standard deviation.
MAD_TO_SIGMA = 1.482602218505602
#: The same factor as the literature prints it (Rousseeuw and Croux, 1993). The limits of growth and of change points
#: were measured with it, so both keep it: the exact value would change their figures in the seventh digit.
MAD_TO_SIGMA_PRINTED = 1.4826


def sorted_rows(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Rows (last axis) in ascending order with NaN at the end, and the number of values that are not NaN."""
    ordered = np.sort(values, axis=-1)
    return ordered, np.asarray(values.shape[-1] - np.isnan(values).sum(axis=-1), dtype=np.int64)


def quantile_of_sorted(ordered: FloatArray, counts: IntArray, q: float) -> FloatArray:
    """The q-quantile of each sorted row by linear interpolation; NaN for an empty row."""
    position = np.maximum(counts - 1, 0) * q
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(counts - 1, 0))
    below = np.take_along_axis(ordered, low[..., None], axis=-1)[..., 0]
    above = np.take_along_axis(ordered, high[..., None], axis=-1)[..., 0]
    result: FloatArray = below + (above - below) * (position - low)
    return result


def median(values: FloatArray) -> FloatArray:
    """Median along the last axis; NaN for a row without values."""
    return quantile_of_sorted(*sorted_rows(values), 0.5)


def mad_sigma(values: FloatArray, center: FloatArray | None = None) -> FloatArray:
    """Median absolute deviation along the last axis, scaled to a normal's standard deviation.

    References:
        Hampel (1974), The influence curve and its role in robust estimation, JASA 69.
    """
    middle = median(values) if center is None else center
    return MAD_TO_SIGMA * median(np.abs(values - middle[..., None]))


def fill_forward(values: FloatArray) -> FloatArray:
    """Replace NaN by the last value before it in its row, else by the first value after it; all-NaN rows stay."""
    present = ~np.isnan(values)
    width = values.shape[-1]
    index = np.where(present, np.arange(width), -1)
    np.maximum.accumulate(index, axis=-1, out=index)
    first = np.where(present.any(axis=-1), present.argmax(axis=-1), 0)
    index = np.where(index < 0, first[..., None], index)
    result: FloatArray = np.take_along_axis(values, index, axis=-1)
    return result
