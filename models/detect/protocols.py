"""The one contract of all detectors.

`fit` returns a separate fitted object, so scoring unfitted cannot be written. Scores are raw: any scale,
higher
is more anomalous; `models/detect/calibration.py` makes them comparable. What cannot be scored yet is NaN, never 0.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InsufficientDataError
from models.series.grid import FloatArray

Arrays = Mapping[str, NDArray[Any]]


class FittedDetector(Protocol):
    """A detector that has learned from history; immutable."""

    def score(self, values: FloatArray) -> FloatArray:
        """Score each value as the continuation of what was learned; the future never changes a past score.

        Args:
            values: float64, shape (n,), or (n, d) for detectors of several metrics; NaN = missing.
        Returns:
            float64, shape (n,), higher is more anomalous; NaN where not scorable.
        """
        ...

    def update(self, values: FloatArray) -> "FittedDetector":
        """Learn from further values, in memory that does not grow; itself where learning needs a new fit."""
        ...

    def to_arrays(self) -> Arrays:
        """Plain arrays that `from_arrays` of the detector's class makes the same object from."""
        ...


class Detector(Protocol):
    """Settings of a detector, and how to fit it."""

    name: ClassVar[str]
    #: Least values (rows) without NaN to fit on.
    min_points: ClassVar[int]

    def fit(self, values: FloatArray) -> FittedDetector:
        """Learn what is normal.

        Args:
            values: float64, shape (n,) or (n, d); NaN = missing or not to be learned from.
        Raises:
            InsufficientDataError: fewer than `min_points` values that are not NaN.
        """
        ...

    def from_arrays(self, arrays: Arrays) -> FittedDetector:
        """The inverse of `to_arrays`."""
        ...


def require_points(values: FloatArray, least: int, name: str) -> FloatArray:
    """The values (rows) without NaN.

    Raises:
        InsufficientDataError: fewer than `least` of them.
    """
    known = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
    kept: FloatArray = values[known]
    if len(kept) < least:
        raise InsufficientDataError(f"{name} needs {least} values to learn from, got {len(kept)}")
    return kept
