"""Resized wholes: values from before a resize become those that the new size would have given.

A disk that is doubled halves its used share at once. Nothing was deleted, and nothing shrinks: the step is no growth
and no new pattern. With the earlier values adapted to the new size, the growth goes on as it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray
from core.domain import Series, SeriesKind
from core.durations import HOUR_S
from core.moments import microseconds
from models.forecast.protocols import History
from models.forecast.recent import Recent
from models.series.magnitude import to_ordinary
from models.series.thresholds import is_upward

#: The step is measured from values at most so far from the resize.
NEAR_S = 2 * HOUR_S
#: With fewer values before the resize, their slope is unknown.
LEAST_FOR_SLOPE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """How values from before a resize compare with those after it: value * scale + shift.

    Attributes:
        at: the first moment with the new size.
        scale: > 0.
        shift: in the unit of the series.
    """

    at: datetime
    scale: float = 1.0
    shift: float = 0.0

    def adapted(self, values: FloatArray, earlier: BoolArray, exponent: int = 0) -> FloatArray:
        """The values, those from before the resize as the new size would have given them.

        Args:
            earlier: which values are from before it.
            exponent: the values are in units of 2**exponent.
        """
        shift = float(to_ordinary(np.array([self.shift]), exponent)[0])
        return np.where(earlier, values * self.scale + shift, values)


def measure_resize(series: Series, at: datetime, samples: pl.DataFrame) -> Resize | None:
    """Measure a resize from the values beside it, because they are exact where the text of an event is rounded.

    Args:
        at: the first moment with the new size.
        samples: `core.frames.SAMPLES`; other series are ignored.
    Returns:
        null if a side has no values, or if the size does not change the values, as for used bytes.
    """
    mine = samples.filter(pl.col("series_id") == series.series_id, pl.col("value").is_finite()).sort("ts")
    seconds = (mine["ts"] - at).dt.total_seconds(fractional=True).to_numpy()
    near = np.abs(seconds) <= NEAR_S
    seconds, values = seconds[near], mine["value"].to_numpy()[near]
    upward = is_upward(series)
    if series.kind is not SeriesKind.RATIO:
        # The used amount stays, and what is left over changes by the difference of the sizes.
        shift = None if upward else _step(seconds, values)
        return None if shift is None else Resize(at=at, shift=shift)
    used = values if upward else 1 - values
    step = _step(seconds[used > 0], np.log(used[used > 0]))
    if step is None:
        return None
    scale = float(np.exp(step))
    return Resize(at=at, scale=scale, shift=0.0 if upward else 1 - scale)


def _step(seconds: FloatArray, values: FloatArray) -> float | None:
    """The step at time 0 in values that go on with the same slope; null if a side has none, or if there is no step.

    Args:
        seconds: ascending.
    """
    after = seconds >= 0
    if after.all() or not after.any():
        return None
    columns = [np.ones(len(values)), after.astype(np.float64)]
    if (~after).sum() >= LEAST_FOR_SLOPE:
        columns.append(seconds)
    found, *_ = np.linalg.lstsq(np.column_stack(columns), values, rcond=None)
    step, first = float(found[1]), int(np.argmax(after))
    # Where the values step at another time, the fit finds a part of that step here.
    beside = float(values[first] - values[first - 1])
    return step if abs(beside - step) <= abs(step) / 2 else None


def adapted_samples(samples: Recent, resizes: Sequence[Resize]) -> Recent:
    """The samples of one series, adapted to its newest size.

    Args:
        resizes: of the series, by time.
    """
    values = samples.values
    for one in resizes:
        values = one.adapted(values, samples.times_us < microseconds(one.at))
    return replace(samples, values=values)


def adapted_history(history: History, resizes: Iterable[Resize]) -> History:
    """The history, adapted to the newest size; a step with both sizes in it is missing.

    Args:
        resizes: of the series, by time.
    """
    values = history.values
    for one in resizes:
        # In steps of the history; a whole number if the resize lies between two steps.
        at = (one.at - history.start).total_seconds() / history.step_s
        steps = np.arange(len(values))
        mixed = (steps < at) & (at < steps + 1)
        values = np.where(mixed, np.nan, one.adapted(values, steps + 1 <= at, history.exponent))
    return replace(history, values=values)
