"""Local Outlier Factor: a value that lies more sparsely than its neighbours do.

References:
    Breunig et al. (2000), LOF: identifying density-based local outliers, SIGMOD.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.detectors.neighbours import learn_rows, nearest, scaled_rows
from models.detect.protocols import Arrays

NEIGHBOURS = 20
#: The mean distance to neighbours, in spreads of a column, of rows that are all alike.
LEAST_DISTANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class FittedLof:
    """The rows learned from, the distance of each to its k-th neighbour, and its density."""

    kept: FloatArray
    reach: FloatArray
    density: FloatArray
    center: FloatArray
    spread: FloatArray
    recent: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """The local outlier factor, about 1 when usual, higher is sparser; as scikit-learn's with novelty."""
        rows, scorable = scaled_rows(values, self.center, self.spread, self.recent)
        distance, index = nearest(self.kept, rows, NEIGHBOURS)
        factor = self.density[index].mean(axis=1) / _density(distance, self.reach[index])
        return np.where(scorable, factor, np.nan)

    def update(self, values: FloatArray) -> "FittedLof":
        return self

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


def _density(distance: FloatArray, reach: FloatArray) -> FloatArray:
    """Local reachability density from the distances to the neighbours and their reaches, shape (n, k) each."""
    # scikit-learn adds 1e-10 too.
    mean = np.maximum(np.maximum(distance, reach).mean(axis=1), LEAST_DISTANCE)
    return np.asarray(1.0 / (mean + 1e-10))


@dataclass(frozen=True, slots=True)
class Lof:
    """Twenty neighbours, as scikit-learn has it; a single metric is seen in windows of 8 values.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "lof"
    min_points: ClassVar[int] = NEIGHBOURS + 2
    memorises: ClassVar[bool] = True

    def fit(self, values: FloatArray) -> FittedLof:
        """See `models.detect.protocols.Detector.fit`."""
        kept, center, spread, recent = learn_rows(
            values, self.min_points, self.name, least_spread=self.least_spread
        )
        distance, index = nearest(kept, kept, NEIGHBOURS + 1)
        distance, index = distance[:, 1:], index[:, 1:]  # without itself
        reach = distance[:, -1]
        return FittedLof(kept, reach, _density(distance, reach[index]), center, spread, recent)

    def from_arrays(self, arrays: Arrays) -> FittedLof:
        return FittedLof(**{name: arrays[name] for name in FittedLof.__slots__})
