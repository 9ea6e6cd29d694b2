"""Reconstruction error of principal components: the default for several metrics together.

Metrics of one service move together. The principal components that carry half of the variance describe how. The score
of a row is its rest: what remains of it without these components, in units of the usual rest. The rest of each metric
shows which metrics are to blame. It is averaged over about ten rows (root mean square), because incidents last and
noise does not. The mean over metrics is one of roots and not of squares, so that one metric that is far away does not
hide several that are a little away.

References:
    Jackson and Mudholkar (1979), Control procedures for residuals associated with principal component analysis,
    Technometrics 21. Lakhina, Crovella and Diot (2004), Diagnosing network-wide traffic anomalies, SIGCOMM.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import numba
import numpy as np

from core.arrays import FloatArray
from models.detect.protocols import Arrays, Reads, require_points
from models.series.magnitude import bounded
from models.series.robust import least_spread

#: A metric that hardly ever moves gets a spread of this share of the spread of all metrics. So its first move is large
#: but not infinite.
FLOOR = 1e-3
#: No metric counts as further away than this many of its spreads.
CLIP = 20.0
#: Share of the variance that the removed components carry.
SHARE = 0.5
#: The usual rest of a metric is at least this, in its spreads.
REST_FLOOR = 0.05


@numba.njit(cache=True, nogil=True)
def average_columns(values: FloatArray, start: FloatArray, weight: float) -> FloatArray:
    """Exponentially weighted average down each column, going on from `start`; NaN leaves it where it is."""
    out = np.empty_like(values)
    state = start.copy()
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if not np.isnan(values[i, j]):
                state[j] += weight * (values[i, j] - state[j])
            out[i, j] = state[j]
    return out


@dataclass(frozen=True, slots=True, eq=False)
class FittedPca:
    """Fitted components, and the present average of the rest.

    Attributes:
        center, spread: of the metrics, shape (d,).
        components: shape (k, d).
        rest: the usual rest of each metric, in spreads, shape (d,), > 0.
        state: the average of the squared rest of each metric in units of `rest`, shape (d,).
        weight: of a new row in this average, in (0, 1].
    """

    center: FloatArray
    spread: FloatArray
    components: FloatArray
    rest: FloatArray
    state: FloatArray
    weight: float

    def _squares(self, values: FloatArray) -> FloatArray:
        """The squared and averaged rest of each metric in each row, (n, d); a missing metric is as usual."""
        rows = bounded(values[:, None] if values.ndim == 1 else values)
        z = np.clip((rows - self.center) / self.spread, -CLIP, CLIP)
        known = np.nan_to_num(z)
        left = ((known - known @ self.components.T @ self.components) / self.rest) ** 2
        left[np.isnan(z).all(axis=1)] = np.nan
        return np.asarray(average_columns(left, self.state, self.weight))

    def score(self, values: FloatArray) -> FloatArray:
        """Mean rest over the metrics, range [0, inf), a little below 1 for a usual row; NaN for an empty row."""
        rows = values[:, None] if values.ndim == 1 else values
        scores: FloatArray = np.where(
            np.isnan(rows).all(axis=1), np.nan, np.sqrt(self._squares(rows)).mean(axis=1)
        )
        return scores

    def shares(self, values: FloatArray) -> FloatArray:
        """The share of each metric in the score of each row, shape (n, d); rows sum to 1."""
        parts = np.sqrt(self._squares(values))
        shares: FloatArray = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)
        return shares

    def update(self, values: FloatArray) -> "FittedPca":
        if len(values) == 0:
            return self
        state = self._squares(values)[-1]
        return FittedPca(self.center, self.spread, self.components, self.rest, state, self.weight)

    def to_arrays(self) -> Arrays:
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Pca:
    """Reconstruction error of principal components.

    Attributes:
        weight: of a new row in the average; 0.2 remembers about ten rows.
        share: of the variance that the removed components carry, in (0, 1).
        least_spread: see `models.detect.protocols.Detector`.
    """

    weight: float = 0.2
    share: float = SHARE
    least_spread: float = 0.0
    name: ClassVar[str] = "pca"
    min_points: ClassVar[int] = 32
    reads: ClassVar[Reads] = Reads.TABLE

    def fit(self, values: FloatArray) -> FittedPca:
        """See `models.detect.protocols.Detector.fit`; rows with a missing metric are left out."""
        rows = values[:, None] if values.ndim == 1 else values
        known = require_points(rows, self.min_points, self.name)
        center = known.mean(axis=0)
        spread = known.std(axis=0) + FLOOR * float(known.std())
        spread = np.maximum(np.maximum(spread, self.least_spread), least_spread(known.T))
        z = np.clip((known - center) / spread, -CLIP, CLIP)
        if z.shape[1] == 1:  # no other metric explains a single one
            components = np.zeros((0, 1))
        else:
            values_, vectors = np.linalg.eigh(np.cov(z.T) + 1e-12 * np.eye(z.shape[1]))
            falling = np.argsort(values_)[::-1]
            carried = np.cumsum(values_[falling]) / values_.sum()
            keep = int(np.searchsorted(carried, self.share)) + 1
            components = vectors[:, falling[: min(keep, z.shape[1] - 1)]].T
        left = z - z @ components.T @ components
        rest = left.std(axis=0) + REST_FLOOR
        usual = np.mean((left / rest) ** 2, axis=0)
        draft = FittedPca(center, spread, np.ascontiguousarray(components), rest, usual, self.weight)
        return draft.update(known[-200:])

    def from_arrays(self, arrays: Arrays) -> FittedPca:
        return FittedPca(
            arrays["center"],
            arrays["spread"],
            arrays["components"],
            arrays["rest"],
            arrays["state"],
            float(arrays["weight"]),
        )
