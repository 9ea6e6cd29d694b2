"""Keeps any float64 in a range in which differences, squares, sums and ratios neither overflow nor vanish.

A series of ordinary size is left as it is. A series of huge or tiny values is multiplied by a power of two before a
model sees it, and what the model returns is multiplied back. A power of two changes only the exponent of a float, so
the model computes the same digits as for a series of ordinary size.
"""

import numpy as np

from core.arrays import FloatArray, IntArray

#: A series is of ordinary size if its usual value lies between 2**-SAFE and 2**SAFE.
SAFE = 256
#: A single value that is larger than this counts as this. Its square, and the sum of a million such squares, is finite.
LIMIT = 2.0**500
#: No spread is smaller than this: what is divided by it stays finite.
SMALLEST = 1.0 / LIMIT
#: Distances in units of a spread are held within this. Their squares are finite, also in single precision.
FAR = 2.0**60
_MAX = float(np.finfo(np.float64).max)


def exponents_of(rows: FloatArray) -> IntArray:
    """The power of two by which each series is divided: 0 for a series of ordinary size.

    The median of the sizes counts, so that a single huge value does not make all others vanish.

    Args:
        rows: one series per row, shape (n, steps); NaN = missing.
    Returns:
        int64, shape (n,).

    Examples:
        >>> exponents_of(np.array([[1.0, 2.0, 1e300], [1e300, 1e301, 1e302], [0.0, 0.0, 0.0]])).tolist()
        [0, 1000, 0]
    """
    sizes = np.abs(rows)
    found = np.zeros(len(rows), dtype=np.int64)
    if rows.shape[1] == 0:
        return found
    largest = np.fmax.reduce(sizes, axis=1)
    smallest = np.fmin.reduce(np.where(sizes > 0, sizes, np.inf), axis=1)
    unusual = (largest > 2.0**SAFE) | (smallest < 2.0**-SAFE)
    for row in np.flatnonzero(unusual):
        known = sizes[row][sizes[row] > 0]
        # Not np.median, which adds the two in the middle.
        exponent = int(np.frexp(np.sort(known)[known.size // 2])[1])
        found[row] = exponent if abs(exponent) > SAFE else 0
    return found


def to_ordinary(values: FloatArray, exponent: int) -> FloatArray:
    """Values divided by 2**exponent, held within `LIMIT`; NaN stays NaN."""
    if exponent == 0:
        return bounded(values)
    with np.errstate(over="ignore", under="ignore"):
        return bounded(np.ldexp(values, -exponent))


def rows_to_ordinary(rows: FloatArray, exponents: IntArray) -> FloatArray:
    """`to_ordinary` of each row with its own exponent."""
    if not exponents.any():
        return bounded(rows)
    return np.stack([to_ordinary(row, int(one)) for row, one in zip(rows, exponents, strict=True)])


def from_ordinary(values: FloatArray, exponent: int) -> FloatArray:
    """Values multiplied by 2**exponent; what is too large for a float64 becomes the largest one."""
    if exponent == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        result: FloatArray = np.clip(np.ldexp(values, exponent), -_MAX, _MAX)
    return result


def scaled_number(number: float, exponent: int) -> float:
    """One number multiplied by 2**exponent; what is too large for a float64 becomes the largest one."""
    return float(from_ordinary(np.array(number), exponent))


def bounded(values: FloatArray, limit: float = LIMIT) -> FloatArray:
    """Values held within `limit`; NaN stays NaN. Every detector does this with what it reads."""
    result: FloatArray = np.clip(values, -limit, limit)
    return result
