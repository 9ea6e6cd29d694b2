"""Values on another scale: load grows by factors, so its logarithm grows by sums.

References:
    Box, G. E. P. and Cox, D. R. (1964). An analysis of transformations. JRSS B 26(2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray
from models.series.robust import middle_of

#: Share of the median that is added before the logarithm, so that zeros have a finite logarithm.
OFFSET_SHARE = 0.1
#: How far a forecast may lie outside the range of past logarithms, as a share of that range.
REACH = 0.5


@dataclass(frozen=True, slots=True)
class Scaled:
    """Values on a scale.

    Attributes:
        back: gives a forecast on the scale in the unit of the values.
    """

    values: FloatArray
    back: Callable[[FloatArray], FloatArray]


Scale = Callable[[FloatArray], Scaled]


def as_is(values: FloatArray) -> Scaled:
    """The values themselves."""
    return Scaled(values, lambda path: path)


def logarithm(values: FloatArray) -> Scaled:
    """Logarithms; the values themselves if one is negative or none is positive."""
    offset = OFFSET_SHARE * (float(middle_of(values)) or float(np.mean(values)))
    if float(values.min()) < 0 or offset <= 0:
        return as_is(values)
    logs = np.log(values + offset)
    low, high = float(logs.min()), float(logs.max())
    reach = REACH * (high - low)
    return Scaled(logs, lambda path: np.exp(np.clip(path, low - reach, high + reach)) - offset)


def square_root(values: FloatArray) -> Scaled:
    """Square roots, a scale between values and logarithms; the values themselves if one is negative."""
    if float(values.min()) < 0:
        return as_is(values)
    return Scaled(np.sqrt(values), lambda path: np.maximum(path, 0.0) ** 2)
