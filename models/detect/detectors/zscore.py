"""Distance from the mean in standard deviations.

References:
    Shewhart (1931), Economic Control of Quality of Manufactured Product (the three-sigma chart).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.protocols import Arrays, require_points

#: A spread below this share of the mean is rounding, not variation.
FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class FittedZScore:
    """Count, mean and sum of squared deviations: all that Welford's update needs."""

    count: float
    mean: float
    squares: float

    @property
    def sigma(self) -> float:
        return max(float(np.sqrt(self.squares / self.count)), FLOOR * abs(self.mean), 1e-300)

    def score(self, values: FloatArray) -> FloatArray:
        """|value - mean| in standard deviations, range [0, inf)."""
        with np.errstate(
            over="ignore"
        ):  # what hardly ever moved has next to no spread: infinitely far is far
            scores: FloatArray = np.abs(values - self.mean) / self.sigma
        return scores

    def update(self, values: FloatArray) -> "FittedZScore":
        """Mean and deviation of all values together.

        References:
            Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, Am. Statistician 37.
        """
        known = values[np.isfinite(values)]
        if known.size == 0:
            return self
        count, mean = self.count + known.size, float(known.mean())
        gap = mean - self.mean
        squares = self.squares + float(((known - mean) ** 2).sum()) + gap**2 * self.count * known.size / count
        return FittedZScore(count, self.mean + gap * known.size / count, squares)

    def to_arrays(self) -> Arrays:
        return {"state": np.array([self.count, self.mean, self.squares])}


@dataclass(frozen=True, slots=True)
class ZScore:
    """Mean and standard deviation of everything seen."""

    name: ClassVar[str] = "zscore"
    min_points: ClassVar[int] = 12

    def fit(self, values: FloatArray) -> FittedZScore:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        return FittedZScore(0.0, 0.0, 0.0).update(known) if known.size else FittedZScore(1.0, 0.0, 1.0)

    def from_arrays(self, arrays: Arrays) -> FittedZScore:
        return FittedZScore(*map(float, arrays["state"]))
