"""The contract of all detectors.

`fit` returns a separate fitted object, so code that scores with an unfitted detector cannot be written. Scores are raw:
any scale, and higher is more anomalous. `models/detect/calibration.py` makes them comparable. A value that cannot be
scored yet has the score NaN, never 0.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatArray, IntArray
from core.errors import InsufficientDataError
from models.series.magnitude import bounded

Arrays = Mapping[str, NDArray[Any]]


class Reads(StrEnum):
    """What a detector of a fleet is fitted on and scores: the value of its class attribute `reads`."""

    #: The residuals of one series, shape (n,), in units of the baseline's spread: the default.
    RESIDUAL = "residual"
    #: The residuals of all series of a service with the same step, shape (n, d).
    TABLE = "table"
    #: The values of one series as they were measured, shape (n,).
    VALUES = "values"


class FittedDetector(Protocol):
    """A detector that has learned from history; immutable."""

    def score(self, values: FloatArray) -> FloatArray:
        """Score each value as the continuation of what was learned; later values never change an earlier score.

        Args:
            values: float64, shape (n,), or (n, d) for detectors of several metrics; NaN = missing.
        Returns:
            float64, shape (n,), higher is more anomalous; NaN where not scorable.
        """
        ...

    def update(self, values: FloatArray) -> "FittedDetector":
        """Learn from further values, in memory that does not grow.

        Returns:
            The detector after them; itself where learning needs a new fit.
        """
        ...

    def to_arrays(self) -> Arrays:
        """The fitted state as plain arrays, from which `from_arrays` of the detector's class makes the same object."""
        ...


class Detector(Protocol):
    """Settings of a detector, and how to fit it.

    The constructor needs no arguments. Two optional ones have a meaning:

    - `seed`: of random numbers; it gets the seed of the bundle.
    - `least_spread`: the smallest spread that means anything, in the unit of the values. A detector uses the larger of
      it and `models.series.robust.least_spread` of its history, so that the first tiny change after a constant history
      is no anomaly. A detector of residuals gets a share of the baseline's spread.

    A detector reads any float64. The bundle multiplies huge and tiny series by a power of two
    (`models/series/magnitude.py`), and a detector holds what it reads within `LIMIT`.

    Three optional class attributes define how a fleet uses the detector:

    - `reads`: see `Reads`; without it the detector reads the residuals of one series.
    - `memorises`: True where the score of a value that was learned from is lower than that of a new one, as with
      nearest neighbours. The detector is then calibrated on a part of the history that it was not fitted on.
    - `max_tail_slope`: the steepest rise of -log10 p per unit of score beyond the scores that were seen.
    """

    name: ClassVar[str]
    #: Least number of values (rows) without NaN to fit on.
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
        """The inverse of `FittedDetector.to_arrays`."""
        ...


@runtime_checkable
class FittedTimedDetector(Protocol):
    """A fitted detector that also uses the time of each value."""

    def score_at(self, times_s: IntArray, values: FloatArray) -> FloatArray:
        """Score values at given times, as `FittedDetector.score` does.

        Args:
            times_s: epoch seconds on the clock of the people who use the service, shape (n,), rising.
            values: float64, shape (n,); NaN = missing.
        Returns:
            float64, shape (n,), higher is more anomalous; NaN where not scorable.
        """
        ...


@runtime_checkable
class TimedDetector(Protocol):
    """A detector of values that scores each value of its history before it learns it."""

    def learn(self, times_s: IntArray, values: FloatArray, step_s: int) -> tuple[FittedDetector, FloatArray]:
        """Learn from values at given times.

        Args:
            times_s: epoch seconds on the clock of the people who use the service, shape (n,), rising.
            values: float64, shape (n,); NaN = missing or not to be learned from.
            step_s: seconds between values, > 0.
        Returns:
            The fitted detector, and the score of each value before it was learned, shape (n,).
        """
        ...


def require_points(values: FloatArray, least: int, name: str) -> FloatArray:
    """The values (rows) without NaN, held within `models.series.magnitude.LIMIT`.

    Args:
        values: float64, shape (n,) or (n, d); least: how many are needed; name: of the detector, for the error.
    Raises:
        InsufficientDataError: fewer than `least` of them.
    """
    known = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
    kept: FloatArray = bounded(values[known])
    if len(kept) < least:
        raise InsufficientDataError(f"{name} needs {least} values to learn from, got {len(kept)}")
    return kept
