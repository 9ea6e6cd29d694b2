"""Quantiles of the values that native histograms counted between two of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from core.frames import SAMPLES
from core.ports import Store
from pipelines.collect.counter_rates import KEPT_COUNTS
from pipelines.sources.native_histograms import read_histogram
from pipelines.sources.remote_write_histograms import quantiles_of

#: As of counts: a late histogram whose predecessor is not among them has a count without a rate, which is rejected.
KEPT_HISTOGRAMS = KEPT_COUNTS
_STORED = ("series_id", "ts", "content")


def native_quantiles(store: Store, histograms: pl.DataFrame | None, accepted: pl.DataFrame) -> pl.DataFrame:
    """The quantiles at the times of new histograms (`SAMPLES`); the newest histograms are stored for the next ones.

    The first histogram of a series gives none, unless it is known since when it counts. The caller has locked
    the counts of the series.

    Args:
        histograms: `core.frames.HISTOGRAMS`.
        accepted: series_id and ts of the counts that are valid.
    """
    if histograms is None or histograms.is_empty():
        return pl.DataFrame(schema=SAMPLES)
    new = histograms.join(accepted, on=["series_id", "ts"], how="semi")
    new = new.unique(["series_id", "ts"], keep="first", maintain_order=True)
    if new.is_empty():
        return pl.DataFrame(schema=SAMPLES)
    stored = store.native_histograms.recent(new["series_id"].unique().to_list())
    both = pl.concat([stored.with_columns(is_new=False), new.select(*_STORED, is_new=True)])
    both = both.unique(["series_id", "ts"], keep="first", maintain_order=True).sort("series_id", "ts")
    newest = both.group_by("series_id", maintain_order=True).tail(KEPT_HISTOGRAMS)
    store.native_histograms.replace(newest.select(*_STORED))
    before = both.with_columns(before=pl.col("content").shift(1).over("series_id")).filter("is_new")
    told = before.join(new.drop("content"), on=["series_id", "ts"], maintain_order="left")
    rows = [
        (row[name], row["ts"], value)
        for row in told.iter_rows(named=True)
        for name, value in _grown(row["content"], row["before"], row["created"]).items()
    ]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def _grown(content: bytes, before: bytes | None, created: datetime | None) -> Mapping[str, float]:
    """Name -> quantile of what a histogram counted since the one before it."""
    histogram = read_histogram(memoryview(content))
    if created is not None:
        histogram = replace(histogram, start_ms=round(created.timestamp() * 1000))
    if before is None:
        return {} if created is None else quantiles_of(histogram)
    grown = histogram.since(read_histogram(memoryview(before)))
    return {} if grown is None else quantiles_of(grown)
