"""Distance from the median in median absolute deviations: a z-score that outliers in the history do not change.

References:
    Leys et al. (2013), Detecting outliers: do not use standard deviation around the mean, J. Exp. Soc. Psych. 49.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.calibration import STEEPEST
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import bounded
from models.series.robust import MAD_TO_SIGMA, least_spread

#: Standard deviation of a normal distribution by its mean absolute deviation: the root of pi / 2.
MEAN_TO_SIGMA = 1.253314


@dataclass(frozen=True, slots=True)
class FittedMad:
    """A median and a spread. `update` changes nothing, because a median cannot be updated without the values."""

    median: float
    sigma: float

    def score(self, values: FloatArray) -> FloatArray:
        """|value - median| in median absolute deviations, scaled to standard deviations of a normal; range [0, inf)."""
        with np.errstate(over="ignore"):  # a far value of a series that hardly ever moved
            scores: FloatArray = np.abs(bounded(values) - self.median) / self.sigma
        return scores

    def update(self, values: FloatArray) -> "FittedMad":
        return self

    def to_arrays(self) -> Arrays:
        return {"state": np.array([self.median, self.sigma])}


@dataclass(frozen=True, slots=True)
class Mad:
    """Median and median absolute deviation. Half of the values may be outliers.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "mad"
    min_points: ClassVar[int] = 12
    max_tail_slope: ClassVar[float] = STEEPEST

    def fit(self, values: FloatArray) -> FittedMad:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        middle = float(np.median(known))
        distance = np.abs(known - middle)
        least = max(self.least_spread, float(least_spread(known)))
        spread = MAD_TO_SIGMA * float(np.median(distance))
        if spread <= least:  # more than half of the values are equal
            spread = MEAN_TO_SIGMA * float(distance.mean())
        return FittedMad(middle, max(spread, least))

    def from_arrays(self, arrays: Arrays) -> FittedMad:
        return FittedMad(*map(float, arrays["state"]))
