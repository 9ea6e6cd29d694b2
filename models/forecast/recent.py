"""The newest samples of single series as arrays: what a forecast starts from."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.frames import SAMPLES, require_frame
from core.moments import microseconds
from models.series.grid import mean_by_cell


@dataclass(frozen=True, slots=True)
class Recent:
    """Samples of one series.

    Attributes:
        times_us: microseconds since 1970, ascending.
        values: NaN = missing.
    """

    times_us: IntArray
    values: FloatArray

    def before(self, at: datetime) -> "Recent":
        """The known values before a moment."""
        kept = (self.times_us < microseconds(at)) & np.isfinite(self.values)
        return Recent(self.times_us[kept], self.values[kept])

    def means(self, *, start: datetime, step_s: int, steps: int) -> FloatArray:
        """The mean of each of `steps` even bins from `start` on; NaN where a bin has no value.

        The same as `models.forecast.history.on_grid`.
        """
        since_us = self.times_us - microseconds(start)
        slots = since_us // 1_000_000 // step_s
        kept = (since_us >= 0) & (since_us < 1_000_000 * step_s * steps) & np.isfinite(self.values)
        return mean_by_cell(slots[kept], self.values[kept], steps)


NOTHING = Recent(np.zeros(0, dtype=np.int64), np.zeros(0))


def recent_of(samples: pl.DataFrame) -> dict[int, Recent]:
    """Series id -> its samples.

    Args:
        samples: `core.frames.SAMPLES`, in the order of time.
    """
    frame = require_frame(samples, SAMPLES, "samples")
    ids = frame["series_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    times_us, values = frame["ts"].dt.epoch("us").to_numpy()[order], frame["value"].to_numpy()[order]
    known, starts = np.unique(ids[order], return_index=True)
    ends = np.append(starts[1:], len(order))[: len(known)]
    return {
        key: Recent(times_us[first:end], values[first:end])
        for key, first, end in zip(known.tolist(), starts.tolist(), ends.tolist(), strict=True)
    }
