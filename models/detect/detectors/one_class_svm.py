"""One-class SVM: how far a value lies outside the smallest surface around the usual values.

References:
    Schölkopf et al. (2001), Estimating the support of a high-dimensional distribution, Neural Computation 13.
    Fitted by scikit-learn, kept as its support vectors.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.detectors.neighbours import learn_rows, scaled_rows
from models.detect.protocols import Arrays

#: Share of the history that may lie outside.
NU = 0.05
#: Fitting takes time by the square of the rows.
MOST_ROWS = 1000
_CHUNK = 2048


@dataclass(frozen=True, slots=True, eq=False)
class FittedOneClassSvm:
    """The support vectors, their weights, the offset and the kernel's width (`scalars`)."""

    vectors: FloatArray
    weights: FloatArray
    scalars: FloatArray
    center: FloatArray
    spread: FloatArray
    recent: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Minus scikit-learn's decision function, higher is further outside.

        Far from all support vectors the kernel is 0, and all rows would get the same score. There the distance to the
        nearest support vector counts, scaled so that it is small elsewhere.
        """
        rows, scorable = scaled_rows(values, self.center, self.spread, self.recent)
        offset, gamma = self.scalars
        scores = np.empty(len(rows))
        for first in range(0, len(rows), _CHUNK):
            part = rows[first : first + _CHUNK]
            squares = (
                (part**2).sum(axis=1)[:, None] + (self.vectors**2).sum(axis=1) - 2 * part @ self.vectors.T
            )
            squares = np.maximum(squares, 0.0)
            kernel = np.exp(-gamma * squares) @ self.weights
            scores[first : first + _CHUNK] = -(kernel + offset) + 1e-6 * np.sqrt(squares.min(axis=1))
        return np.where(scorable, scores, np.nan)

    def update(self, values: FloatArray) -> "FittedOneClassSvm":
        return self

    def to_arrays(self) -> Arrays:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class OneClassSvm:
    """Radial kernel, its width by the variance of the rows, as scikit-learn's `scale`.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "one_class_svm"
    min_points: ClassVar[int] = 32
    memorises: ClassVar[bool] = True

    def fit(self, values: FloatArray) -> FittedOneClassSvm:
        """See `models.detect.protocols.Detector.fit`."""
        from sklearn.svm import OneClassSVM

        kept, center, spread, recent = learn_rows(
            values, self.min_points, self.name, most=MOST_ROWS, least_spread=self.least_spread
        )
        gamma = 1.0 / (kept.shape[1] * max(float(kept.var()), 1e-9))
        machine = OneClassSVM(kernel="rbf", nu=NU, gamma=gamma).fit(kept)
        return FittedOneClassSvm(
            np.asarray(machine.support_vectors_), np.asarray(machine.dual_coef_).ravel(),
            np.array([float(machine.intercept_[0]), gamma]), center, spread, recent,
        )  # fmt: skip

    def from_arrays(self, arrays: Arrays) -> FittedOneClassSvm:
        return FittedOneClassSvm(**{name: arrays[name] for name in FittedOneClassSvm.__slots__})
