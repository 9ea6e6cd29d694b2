"""DBSCAN: how far a value lies from the nearest dense core.

References:
    Ester et al. (1996), A density-based algorithm for discovering clusters, KDD.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.detectors.neighbours import learn_rows, nearest, scaled_rows
from models.detect.protocols import Arrays

MIN_SAMPLES = 5
#: The radius: at it, this share of the rows learned from has enough neighbours to be a core.
CORE_SHARE = 0.95
#: The radius, in spreads of a column, of rows that are all alike.
LEAST_RADIUS = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class FittedDbscan:
    """The cores, and the radius within which a row belongs to one."""

    cores: FloatArray
    radius: FloatArray
    center: FloatArray
    spread: FloatArray
    recent: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Distance to the nearest core in radii, range [0, inf): up to 1 within a cluster, more outside."""
        rows, scorable = scaled_rows(values, self.center, self.spread, self.recent)
        distance = nearest(self.cores, rows, 1)[0][:, 0] / self.radius[0]
        return np.where(scorable, distance, np.nan)

    def update(self, values: FloatArray) -> "FittedDbscan":
        return self

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Dbscan:
    """Five neighbours make a core; the radius follows from the data.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "dbscan"
    min_points: ClassVar[int] = 4 * MIN_SAMPLES
    memorises: ClassVar[bool] = True

    def fit(self, values: FloatArray) -> FittedDbscan:
        """See `models.detect.protocols.Detector.fit`."""
        kept, center, spread, recent = learn_rows(
            values, self.min_points, self.name, least_spread=self.least_spread
        )
        to_fifth = nearest(kept, kept, MIN_SAMPLES)[0][:, -1]  # itself is the first, as in the paper
        radius = max(float(np.quantile(to_fifth, CORE_SHARE)), LEAST_RADIUS)
        return FittedDbscan(kept[to_fifth <= radius], np.array([radius]), center, spread, recent)

    def from_arrays(self, arrays: Arrays) -> FittedDbscan:
        return FittedDbscan(**{name: arrays[name] for name in FittedDbscan.__slots__})
