"""Distance from the mean in standard deviations.

References:
    Shewhart (1931), Economic Control of Quality of Manufactured Product (the three-sigma chart).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.calibration import STEEPEST
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import SMALLEST, bounded
from models.series.robust import least_spread

#: The least standard deviation of a detector that was stored before it was learned, as a share of the mean.
_STORED_BEFORE = 1e-9


@dataclass(frozen=True, slots=True)
class FittedZScore:
    """Count, mean and sum of squared deviations: all that Welford's update needs.

    Attributes:
        least: the standard deviation is at least this, > 0.
    """

    count: float
    mean: float
    squares: float
    least: float = SMALLEST

    @property
    def sigma(self) -> float:
        """The standard deviation, > 0."""
        return max(float(np.sqrt(self.squares / self.count)), self.least)

    def score(self, values: FloatArray) -> FloatArray:
        """|value - mean| in standard deviations, range [0, inf)."""
        with np.errstate(over="ignore"):  # a far value of a series that hardly ever moved
            scores: FloatArray = np.abs(bounded(values) - self.mean) / self.sigma
        return scores

    def update(self, values: FloatArray) -> "FittedZScore":
        """Mean and deviation of all values together.

        References:
            Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, Am. Statistician 37.
        """
        known = bounded(values[np.isfinite(values)])
        if known.size == 0:
            return self
        count, mean = self.count + known.size, float(known.mean())
        gap = mean - self.mean
        squares = self.squares + float(((known - mean) ** 2).sum()) + gap**2 * self.count * known.size / count
        return FittedZScore(count, self.mean + gap * known.size / count, squares, self.least)

    def to_arrays(self) -> Arrays:
        return {"state": np.array([self.count, self.mean, self.squares, self.least])}


@dataclass(frozen=True, slots=True)
class ZScore:
    """Mean and standard deviation of all values so far.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "zscore"
    min_points: ClassVar[int] = 12
    max_tail_slope: ClassVar[float] = STEEPEST

    def fit(self, values: FloatArray) -> FittedZScore:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        least = max(self.least_spread, float(least_spread(known)))
        return FittedZScore(0.0, 0.0, 0.0, least).update(known)

    def from_arrays(self, arrays: Arrays) -> FittedZScore:
        count, mean, squares, *least = map(float, arrays["state"])
        return FittedZScore(count, mean, squares, least[0] if least else stored_before(mean))


def stored_before(center: float) -> float:
    """The least spread of a detector that was stored without one.

    Args:
        center: mean or median of the values that it learned from.
    """
    return max(_STORED_BEFORE * abs(center), SMALLEST)
