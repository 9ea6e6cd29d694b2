"""Rows for detectors that compare rows: each value of a single metric with the values just before it."""

import numpy as np

from core.arrays import FloatArray
from models.series.magnitude import FAR, bounded
from models.series.robust import least_spread

#: Values in a row: enough to show a course, few enough to learn from hours.
WINDOW = 8


def rows_of(values: FloatArray, window: int = WINDOW, before: FloatArray | None = None) -> FloatArray:
    """Values as rows to compare: (n, d) as they are; (n,) as windows that end at each value.

    Args:
        before: up to `window - 1` values that came before; without them the first rows repeat the first value.
    Returns:
        Float64, shape (n, d) or (n, window); the last column is the value itself. A window that reaches into a
        gap takes the last value before it; the row of a missing value is NaN.
    """
    values = bounded(values)
    if values.ndim == 2:
        return values
    lead = np.empty(0) if before is None else before[max(0, before.size - window + 1) :]
    known = np.concatenate([lead, values])
    present = np.flatnonzero(~np.isnan(known))
    if present.size == 0:
        return np.full((values.size, window), np.nan)
    # The last known value at each place, the first one where nothing came before.
    last = np.maximum.accumulate(np.where(np.isnan(known), -1, np.arange(known.size)))
    filled = known[np.where(last < 0, present[0], last)]
    padded = np.concatenate([np.full(window - 1, filled[0]), filled])
    rows = np.lib.stride_tricks.sliding_window_view(padded, window)[lead.size :].copy()
    rows[np.isnan(values)] = np.nan
    return rows


@np.errstate(invalid="ignore")
def scaling(rows: FloatArray, least: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Median and spread of each column, for distances in which every column counts; spreads are > 0.

    Args:
        rows: float64, shape (n, d), without NaN.
        least: the spread is at least this.
    """
    center = np.median(rows, axis=0)
    spread = np.std(rows, axis=0)
    return center, np.maximum(np.maximum(spread, least), least_spread(rows.T))


def scale_rows(rows: FloatArray, center: FloatArray, spread: FloatArray) -> FloatArray:
    """Rows in spreads from the centre of each column, held within `FAR`."""
    with np.errstate(over="ignore"):
        return bounded((rows - center) / spread, FAR)


def thinned(rows: FloatArray, most: int) -> FloatArray:
    """At most so many rows, evenly spaced: the same ones every time."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
