"""Many series as one matrix: rows are series, columns are time steps; missing is NaN."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray, IntArray
from core.domain import Series
from core.durations import DAY_S
from core.frames import EXCLUSIONS, SAMPLES, require_frame

#: 1970-01-01 was a Thursday: with this offset second 0 of a week is Monday 00:00 UTC.
MONDAY_OFFSET_S = 3 * DAY_S


@dataclass(frozen=True, slots=True)
class Grid:
    """Series of one step, aligned in time.

    Attributes:
        series_ids: int64, length n.
        start_s: epoch second of the first column, a multiple of `step_s`.
        step_s: seconds between columns.
        values: float64, shape (n, steps); the mean of the samples of a step, NaN where there is none.
    """

    series_ids: IntArray
    start_s: int
    step_s: int
    values: FloatArray

    @property
    def times_s(self) -> IntArray:
        """Epoch second of each column, int64, length `steps`."""
        return self.start_s + self.step_s * np.arange(self.values.shape[1], dtype=np.int64)


def grids(
    samples: pl.DataFrame,
    step_s_of: dict[int, int],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Grid]:
    """One grid for all series with the same step, ordered by step.

    Args:
        samples: `core.frames.SAMPLES`.
        step_s_of: step of each series, by `series_id`; other series are left out.
        start: first column (rounded down to a step); default: the first sample.
        end: first moment after the last column; default: just after the last sample.
    Raises:
        InvalidFrameError: a column is missing or has a wrong dtype.
    """
    samples = require_frame(samples, SAMPLES, "samples")
    found: list[Grid] = []
    for step_s in sorted(set(step_s_of.values())):
        ids = np.array(sorted(key for key, step in step_s_of.items() if step == step_s), dtype=np.int64)
        mine = samples.filter(pl.col("series_id").is_in(ids.tolist()) & pl.col("value").is_finite())
        if start is not None:
            mine = mine.filter(pl.col("ts") >= start)
        if end is not None:
            mine = mine.filter(pl.col("ts") < end)
        if mine.is_empty():
            continue
        seconds = mine["ts"].dt.epoch("s").to_numpy()
        first = (int(seconds.min()) if start is None else int(start.timestamp())) // step_s
        last = int(seconds.max()) // step_s if end is None else -(-int(end.timestamp()) // step_s) - 1
        columns = seconds // step_s - first
        rows = np.searchsorted(ids, mine["series_id"].to_numpy())
        width = last - first + 1
        flat = rows * width + columns
        size = len(ids) * width
        value = mine["value"].to_numpy()
        if flat.size > 1 and bool((np.diff(flat) > 0).all()):  # sorted and unique: nothing to average
            matrix = np.full(size, np.nan)
            matrix[flat] = value
        else:
            matrix = mean_by_cell(flat, value, size)
        found.append(Grid(ids, first * step_s, step_s, matrix.reshape(len(ids), width)))
    return found


def mean_by_cell(cells: IntArray, values: FloatArray, size: int) -> FloatArray:
    """The mean of the values of each cell, added in the order of the rows, float64, shape (size,); NaN where none is.

    Args:
        cells: of each value, in [0, size).
        values: any finite float64.
    """
    counts = np.bincount(cells, minlength=size)
    # The sum of huge values would be infinite. Divided by a power of two, they keep their digits.
    divisor = 1.0 if values.size == 0 or float(np.abs(values).max()) < 2.0**900 else 2.0**-100
    with np.errstate(invalid="ignore"):
        means = np.bincount(cells, weights=values * divisor, minlength=size) / counts
    if divisor != 1.0:
        largest = float(np.finfo(np.float64).max)
        means = np.clip(means, -largest * divisor, largest * divisor) / divisor
    return np.asarray(means, dtype=np.float64)


def exclusion_mask(grid: Grid, series: Sequence[Series], exclusions: pl.DataFrame) -> BoolArray:
    """Which values models must not learn from: bool, shape of `grid.values`, True = leave out.

    Args:
        series: all series of the grid.
        exclusions: `core.frames.EXCLUSIONS`; service "*" means all.
    """
    exclusions = require_frame(exclusions, EXCLUSIONS, "exclusions")
    mask = np.zeros(grid.values.shape, dtype=np.bool_)
    if exclusions.is_empty():
        return mask
    service_of = {one.series_id: one.service for one in series}
    services = np.array([service_of.get(int(key), "") for key in grid.series_ids])
    width = grid.values.shape[1]
    for service, begin, finish in exclusions.iter_rows():
        low = max(0, (int(begin.timestamp()) - grid.start_s) // grid.step_s)
        high = min(width, -(-(int(finish.timestamp()) - grid.start_s) // grid.step_s))
        if low < high:
            mask[services == service if service != "*" else slice(None), low:high] = True
    return mask


def slot_of(times_s: IntArray, slot_s: int, period_s: int) -> IntArray:
    """The slot of the day or week of each moment; slot 0 starts on Monday 00:00."""
    slots: IntArray = ((times_s + MONDAY_OFFSET_S) % period_s) // slot_s
    return slots


def as_utc(epoch_s: float) -> datetime:
    """The zone-aware UTC time of an epoch second."""
    return datetime.fromtimestamp(float(epoch_s), tz=UTC)
