"""A request of remote_write as columns: many requests have thousands of series with one sample each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from pipelines.sources.native_histograms import NativeHistogram
from pipelines.sources.remote_write_known import KnownLabels

#: This NaN marks the end of a series.
STALE_BITS = 0x7FF0000000000002
#: A counter that is said to count since an earlier time (1990) counts since an unknown time.
OLDEST_CREATED_MS = 631_152_000_000


@dataclass(frozen=True, slots=True)
class SentHistogram:
    """A native histogram of a series, and its message."""

    series: KnownLabels
    histogram: NativeHistogram
    message: bytes


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A decoded request.

    Attributes:
        series: in the order of the request; a series may come more than once.
        lengths: how many samples each of them has.
        times_ms, values: of all samples, series after series; a value may be NaN.
        created_ms: since when the counter of each sample counts; 0: not known.
        histograms: all native histograms.
        metric_types: metric -> type, from the metadata of the request.
        rejected: columns `row` and `reason`, of series and samples that cannot be read.
    """

    series: Sequence[KnownLabels]
    lengths: IntArray
    times_ms: IntArray
    values: FloatArray
    created_ms: IntArray
    histograms: Sequence[SentHistogram]
    metric_types: Mapping[str, str]
    rejected: pl.DataFrame

    @property
    def metrics(self) -> set[str]:
        return {one.metric for one in self.series}


class Columns:
    """Series and their samples, which may come in any order of their places in the request."""

    def __init__(self, count: int) -> None:
        #: Which messages of the request are read already.
        self.read = np.zeros(count, dtype=bool)
        self._places: list[int] = []
        self._series: list[KnownLabels] = []
        self._lengths: list[int] = []
        self._times_ms: list[IntArray] = []
        self._values: list[FloatArray] = []
        self._created_ms: list[IntArray] = []

    def add_usual(
        self, places: Sequence[int], series: Sequence[KnownLabels], times_ms: IntArray, values: FloatArray
    ) -> None:
        """Add series with one sample each."""
        self._add(places, series, [1] * len(series))
        self._times_ms.append(times_ms)
        self._values.append(values)
        self._created_ms.append(np.zeros(len(series), dtype=np.int64))

    def add(
        self,
        place: int,
        series: KnownLabels,
        times_ms: Sequence[int],
        values: Sequence[float],
        created_ms: Sequence[int],
    ) -> None:
        """Add a series with all its samples."""
        self._add([place], [series], [len(values)])
        self._times_ms.append(np.asarray(times_ms, dtype=np.int64))
        self._values.append(np.asarray(values, dtype=np.float64))
        self._created_ms.append(np.asarray(created_ms, dtype=np.int64))

    def _add(self, places: Sequence[int], series: Sequence[KnownLabels], lengths: Sequence[int]) -> None:
        self.read[places] = True
        self._places += places
        self._series += series
        self._lengths += lengths

    def in_order(self) -> tuple[Sequence[KnownLabels], IntArray, IntArray, FloatArray, IntArray]:
        """Series, lengths, times in ms, values and starts in ms, in the order of the request."""
        places, lengths = np.array(self._places, dtype=np.int64), np.array(self._lengths, dtype=np.int64)
        times_ms, values = np.concatenate(self._times_ms), np.concatenate(self._values)
        created_ms = np.concatenate(self._created_ms)
        if bool(np.all(places[1:] > places[:-1])):
            return self._series, lengths, times_ms, values, created_ms
        order, samples = np.argsort(places), np.argsort(places.repeat(lengths), kind="stable")
        series = [self._series[at] for at in order.tolist()]
        return series, lengths[order], times_ms[samples], values[samples], created_ms[samples]
