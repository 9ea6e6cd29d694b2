"""What the native histograms of a request give: counts, sums and quantiles, as series of their own."""

import math
import struct
from collections.abc import Mapping, Sequence

import polars as pl

from core.domain import Series
from core.frames import CREATED, HISTOGRAMS, SAMPLES, TIME, TIMES
from pipelines.sources.buckets import QUANTILES
from pipelines.sources.native_histograms import NativeHistogram
from pipelines.sources.remote_write_columns import OLDEST_CREATED_MS, STALE_BITS, SentHistogram

_STALE = struct.pack("<Q", STALE_BITS)


class HistogramColumns:
    """The frames of some histograms.

    Attributes:
        series: all series of the histograms, by id.
        counts: number and sum of values; levels: those of gauges, and their quantiles. Both are `SAMPLES`.
        created: `core.frames.CREATED`, of `counts`; cumulative: `core.frames.HISTOGRAMS`; ends: `core.frames.TIMES`.
    """

    def __init__(self, histograms: Sequence[SentHistogram]) -> None:
        self.series: dict[int, Series] = {}
        self._counts: list[tuple[int, int, float]] = []
        self._levels: list[tuple[int, int, float]] = []
        self._created: list[tuple[int, int, int]] = []
        self._cumulative: list[tuple[object, ...]] = []
        self._ends: list[tuple[int, int]] = []
        for one in histograms:
            self._add(one)
        self.counts = _frame(self._counts, SAMPLES)
        self.levels = _frame(self._levels, SAMPLES)
        self.created = _frame(self._created, CREATED)
        self.cumulative = _frame(self._cumulative, HISTOGRAMS)
        self.ends = _frame(self._ends, TIMES)

    def _add(self, sent: SentHistogram) -> None:
        one = sent.histogram
        series = sent.series.histogram_series(gauge=one.is_gauge)
        time_us = one.time_ms * 1000
        if struct.pack("<d", one.total) == _STALE:
            self._add_series(series)
            self._ends += [(own.series_id, time_us) for own in series.values()]
            return
        ids = {name: own.series_id for name, own in series.items()}
        values = {"_count": one.count, "_sum": one.total}
        if not _has_sum(one):
            del values["_sum"]
        if one.is_gauge:
            values |= {f"_{name}": value for name, value in quantiles_of(one).items()}
            self._levels += [(ids[name], time_us, value) for name, value in values.items()]
            self._add_series({name: series[name] for name in values})
            return
        self._add_series({name: own for name, own in series.items() if name != "_sum" or name in values})
        self._counts += [(ids[name], time_us, value) for name, value in values.items()]
        created_us = one.start_ms * 1000 if OLDEST_CREATED_MS <= one.start_ms < one.time_ms else None
        if created_us is not None:
            self._created += [(ids[name], time_us, created_us) for name in values]
        quantiles = [ids[f"_{name}"] for name in QUANTILES]
        self._cumulative.append((ids["_count"], time_us, sent.message, created_us, *quantiles))

    def _add_series(self, series: Mapping[str, Series]) -> None:
        self.series |= {own.series_id: own for own in series.values()}


def quantiles_of(one: NativeHistogram) -> dict[str, float]:
    """Name -> quantile of the values of a histogram; without those that the buckets do not tell."""
    buckets = one.buckets()
    found = {name: buckets.quantile(share, math.nan, math.nan) for name, share in QUANTILES.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _has_sum(one: NativeHistogram) -> bool:
    """Whether the sum can be stored: a sum of values below 0 falls, and a counter never does."""
    below_0 = bool(one.negative.counts.any()) or one.total < 0
    return math.isfinite(one.total) and (one.is_gauge or not below_0)


def _frame(
    rows: Sequence[tuple[object, ...]], schema: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=schema)
    as_sent = {name: pl.Int64 if dtype == TIME else dtype for name, dtype in schema.items()}
    return pl.DataFrame(list(rows), schema=as_sent, orient="row").select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )
