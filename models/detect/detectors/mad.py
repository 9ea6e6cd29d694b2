"""Distance from the median in median absolute deviations: what z-score is, for data that holds outliers.

References:
    Leys et al. (2013), Detecting outliers: do not use standard deviation around the mean, J. Exp. Soc.
    Psych. 49.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.detectors.zscore import FLOOR
from models.detect.protocols import Arrays, require_points
from models.series.robust import MAD_TO_SIGMA


@dataclass(frozen=True, slots=True)
class FittedMad:
    """A median and a spread; learning anew needs the values, so `update` changes nothing."""

    median: float
    sigma: float

    def score(self, values: FloatArray) -> FloatArray:
        """|value - median| in (normal-consistent) median absolute deviations, range [0, inf)."""
        with np.errstate(
            over="ignore"
        ):  # what hardly ever moved has next to no spread: infinitely far is far
            scores: FloatArray = np.abs(values - self.median) / self.sigma
        return scores

    def update(self, values: FloatArray) -> "FittedMad":
        return self

    def to_arrays(self) -> Arrays:
        return {"state": np.array([self.median, self.sigma])}


@dataclass(frozen=True, slots=True)
class Mad:
    """Median and median absolute deviation; half of the values may be wrong."""

    name: ClassVar[str] = "mad"
    min_points: ClassVar[int] = 12

    def fit(self, values: FloatArray) -> FittedMad:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        middle = float(np.median(known))
        distance = np.abs(known - middle)
        spread = MAD_TO_SIGMA * float(np.median(distance))
        if spread <= FLOOR * abs(middle):  # over half are equal: fall back on the mean distance
            spread = 1.253314 * float(distance.mean())  # sqrt(pi / 2), the same for a normal
        return FittedMad(middle, max(spread, FLOOR * abs(middle), 1e-300))

    def from_arrays(self, arrays: Arrays) -> FittedMad:
        return FittedMad(*map(float, arrays["state"]))
