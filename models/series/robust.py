"""Order statistics of many rows at once, and the smallest spread that means anything; NaN is left out."""

import numpy as np

from core.arrays import FloatArray, IntArray
from models.series.magnitude import SMALLEST

#: 1 / Phi^-1(3/4): makes the median absolute deviation of a normal sample its standard deviation.
MAD_TO_SIGMA = 1.482602218505602
#: The same factor as the literature prints it (Rousseeuw and Croux, 1993). The limits of growth and of change points
#: were measured with it, so both keep it: the exact value would change their figures in the seventh digit.
MAD_TO_SIGMA_PRINTED = 1.4826
#: A difference below this share of a value is rounding: 0.1 + 0.2 differs from 0.3 by 2e-16 of it, and a sum of a
#: thousand numbers by about 1e-13.
ROUNDING = 2.0**-40
#: The spread of a series that usually stands still, as a share of the value at which it stands. A change of 4 to 4.0001
#: is a fortieth of this spread; a change of 4 to 5 is 250 spreads.
STILL_SHARE = 1e-3
#: The same for a series that usually stands at zero, as a share of the smallest other value that it had; and for one
#: that was never anything but zero, in its unit: more than the rounding of differences of numbers around 1.
ZERO_SHARE, ZERO_SPREAD = 1e-6, 1e-15


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


def middle_of(values: FloatArray) -> FloatArray:
    """The median along the first axis of values without NaN, equal to `np.median`.

    That function spends nine tenths of its time on preparations where there are a thousand values.
    """
    return middle_of_sorted(np.sort(values, axis=0))


def middle_of_sorted(ordered: FloatArray) -> FloatArray:
    """`middle_of` of values in ascending order."""
    half = len(ordered) // 2
    return np.asarray(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def mad_sigma(values: FloatArray, center: FloatArray | None = None) -> FloatArray:
    """Median absolute deviation along the last axis, scaled to a normal's standard deviation.

    References:
        Hampel (1974), The influence curve and its role in robust estimation, JASA 69.
    """
    middle = median(values) if center is None else center
    return MAD_TO_SIGMA * median(np.abs(values - middle[..., None]))


def rounding_of(values: FloatArray) -> FloatArray:
    """The differences along the last axis that are only rounding; >= 0.

    Args:
        values: float64, shape (..., n); NaN = missing.
    """
    result: FloatArray = ROUNDING * np.nan_to_num(median(np.abs(values)))
    return result


def still_spread(values: FloatArray) -> FloatArray:
    """The spread, along the last axis, of series whose values usually do not differ; > 0.

    It is relative to the value at which a series stands. A smaller change of such a series is nothing.

    Args:
        values: float64, shape (..., n); NaN = missing.
    """
    sizes = np.abs(values)
    usual = np.nan_to_num(median(sizes))
    others = np.where(sizes > 0, sizes, np.inf).min(axis=-1, initial=np.inf)
    at_zero = np.where(np.isfinite(others), ZERO_SHARE * others, ZERO_SPREAD)
    result: FloatArray = np.where(usual > 0, STILL_SHARE * usual, at_zero)
    return result


def least_spread(values: FloatArray) -> FloatArray:
    """The smallest spread, along the last axis, that means anything; > 0.

    For a series that moves, this is the least that is more than rounding; for one that usually stands still, it is
    `still_spread`. Both are relative to the size of the values. Neither is relative to their mean, which may be 0.

    Args:
        values: float64, shape (..., n), at most `models.series.magnitude.LIMIT` in size; NaN = missing.

    Examples:
        >>> least_spread(np.array([[4.0, 4.0, 4.0], [0.3, 0.1 + 0.2, 0.3]])).round(6).tolist()
        [0.004, 0.0003]
    """
    ordered, counts = sorted_rows(values)
    between = quantile_of_sorted(ordered, counts, 0.75) - quantile_of_sorted(ordered, counts, 0.25)
    rounding = rounding_of(values)
    moves = between > rounding
    result: FloatArray = np.maximum(np.where(moves, rounding, still_spread(values)), SMALLEST)
    return result


def least_step(values: FloatArray) -> float:
    """The smallest step between different values of one series, > 0; a millionth of its size if all are the same.

    Steps that are only rounding do not count.

    Args:
        values: float64, shape (n,); NaN = missing.

    Examples:
        >>> least_step(np.array([3.0, 1.0, 1.5])), least_step(np.array([0.3, 0.1 + 0.2]))
        (0.5, 3e-07)
    """
    known = np.unique(values[np.isfinite(values)])
    steps = np.diff(known)
    steps = steps[steps > (float(rounding_of(known)) if known.size else 0.0)]
    if steps.size:
        return max(float(steps.min()), SMALLEST)
    largest = float(np.max(np.abs(known), initial=0.0))
    return max(1e-6 * largest, SMALLEST) if largest > 0 else ZERO_SPREAD


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
