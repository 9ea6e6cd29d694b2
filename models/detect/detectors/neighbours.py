"""What all detectors by distance share: the scaled rows that they learned from, and the values just before them."""

import numpy as np
from scipy.spatial import cKDTree

from core.arrays import BoolArray, FloatArray
from models.detect.detectors.embedding import rows_of, scale_rows, scaling, thinned
from models.detect.protocols import require_points
from models.series.magnitude import bounded

#: Rows that are kept. Distances to more rows would cost time and change little.
MOST_ROWS = 2000


def learn_rows(
    values: FloatArray, min_points: int, name: str, *, most: int = MOST_ROWS, least_spread: float = 0.0
) -> tuple[FloatArray, ...]:
    """Scaled rows to compare with, their centre and spread, and the last values for the next windows.

    Args:
        values: float64, shape (n,) or (n, d); NaN = missing.
        most: rows that are kept.
        least_spread: the spread of each column is at least this.
    Raises:
        InsufficientDataError: fewer than `min_points` rows have no NaN.
    """
    rows = require_points(rows_of(values), min_points, name)
    center, spread = scaling(rows, least_spread)
    recent = bounded(values[np.isfinite(values)][-16:]) if values.ndim == 1 else np.empty(0)
    return thinned(scale_rows(rows, center, spread), most), center, spread, recent


def scaled_rows(
    values: FloatArray, center: FloatArray, spread: FloatArray, recent: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Rows of new values in the scale learned, a missing metric at its centre; and which rows can be scored."""
    rows = scale_rows(rows_of(values, before=recent), center, spread)
    scorable: BoolArray = np.asarray(np.isfinite(rows).any(axis=1))
    return np.nan_to_num(rows), scorable


def nearest(kept: FloatArray, rows: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Distances (n, count) to the nearest kept rows, rising, and which ones they are."""
    distance, index = cKDTree(kept).query(rows, k=min(count, len(kept)))
    shape = (len(rows), min(count, len(kept)))
    return np.asarray(distance).reshape(shape), np.asarray(index).reshape(shape)
