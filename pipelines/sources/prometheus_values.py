"""The values of a pull, gathered into batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from core.batch import Batch
from core.domain import Series
from core.frames import SAMPLES

#: The times from 1900 to 2100 are inside the calendar of every part of the stack.
MAX_TIME_S = 4.1e9

#: Labels of a series, its times in microseconds since 1970, and its values without NaN.
Values = tuple[Mapping[str, str], npt.NDArray[np.int64], npt.NDArray[np.float64]]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass
class Pending:
    """What has been read and not been handed over yet."""

    metric_types: dict[str, str] = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)
    ids: list[Ints] = field(default_factory=list)
    times: list[Ints] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    rows: int = 0

    def add(self, series: Series, times: Ints, values: Floats) -> None:
        if len(times):
            series_id = series.series_id
            self.series[series_id] = series
            self.ids.append(np.full(len(times), series_id))
            self.times.append(times)
            self.values.append(values)
            self.rows += len(times)

    def batch(self, rejected: pl.DataFrame, cursor: str | None = None, notes: Sequence[str] = ()) -> Batch:
        """What has been added, as one batch."""
        none: Ints = np.empty(0, dtype=np.int64)
        samples = {
            "series_id": pl.Series(np.concatenate([none, *self.ids])),
            "ts": pl.Series(np.concatenate([none, *self.times])).cast(SAMPLES["ts"]),
            "value": pl.Series(np.concatenate([np.empty(0), *self.values])),
        }
        return Batch(
            series=tuple(self.series.values()),
            samples=pl.DataFrame(samples),
            metric_types=self.metric_types,
            rejected=rejected,
            notes=notes,
            cursor=cursor,
        )


def measured(times: Sequence[float], values: Sequence[str]) -> tuple[Ints, Floats]:
    """Times in microseconds and values, without NaN. Prometheus sends values as text and times in seconds.

    Raises:
        ValueError: a value is not a number, or a time is outside the calendar.
    """
    seconds, numbers = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not np.all(np.abs(seconds) <= MAX_TIME_S):
        raise ValueError("a time is outside the calendar")
    known = ~np.isnan(numbers)
    return np.round(seconds[known] * 1e6).astype(np.int64), numbers[known]
