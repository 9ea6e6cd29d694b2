"""k-means: how far a value lies from the nearest of the usual situations.

References:
    Lloyd (1982), Least squares quantization in PCM, IEEE Trans. Information Theory 28. Grown by scikit-learn.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.detectors.neighbours import learn_rows, nearest, scaled_rows
from models.detect.protocols import Arrays

CLUSTERS = 8
#: The usual distance, in spreads of a column, from the centres of rows that are all alike.
LEAST_DISTANCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class FittedKMeans:
    """The centres of the clusters, and the usual distance from each."""

    centres: FloatArray
    usual: FloatArray
    center: FloatArray
    spread: FloatArray
    recent: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Distance to the nearest centre in that cluster's usual distance, range [0, inf)."""
        rows, scorable = scaled_rows(values, self.center, self.spread, self.recent)
        distance, index = nearest(self.centres, rows, 1)
        return np.where(scorable, distance[:, 0] / self.usual[index[:, 0]], np.nan)

    def update(self, values: FloatArray) -> "FittedKMeans":
        return self

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class KMeans:
    """Eight situations.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    seed: int = 0
    least_spread: float = 0.0
    name: ClassVar[str] = "kmeans"
    min_points: ClassVar[int] = 4 * CLUSTERS
    memorises: ClassVar[bool] = True

    def fit(self, values: FloatArray) -> FittedKMeans:
        """See `models.detect.protocols.Detector.fit`."""
        from sklearn.cluster import KMeans as Lloyd

        kept, center, spread, recent = learn_rows(
            values, self.min_points, self.name, least_spread=self.least_spread
        )
        distinct = len(np.unique(kept, axis=0))
        grown = Lloyd(n_clusters=min(CLUSTERS, distinct), n_init=3, random_state=self.seed).fit(kept)
        centres = np.asarray(grown.cluster_centers_, dtype=np.float64)
        distance, index = nearest(centres, kept, 1)
        overall = max(float(distance.mean()), LEAST_DISTANCE)
        usual = np.array([
            max(float(distance[index[:, 0] == k].mean()) if (index[:, 0] == k).any() else 0.0, 0.1 * overall)
            for k in range(len(centres))
        ])  # fmt: skip
        return FittedKMeans(centres, usual, center, spread, recent)

    def from_arrays(self, arrays: Arrays) -> FittedKMeans:
        return FittedKMeans(**{name: arrays[name] for name in FittedKMeans.__slots__})
