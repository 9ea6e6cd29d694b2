"""Store what a Prometheus pushes by remote_write."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from statistics import median

import polars as pl

from core.batch import Batch
from core.domain import DEFAULT_STEP_S, Series
from core.metric_types import declaring_names
from core.ports import Store
from pipelines.collect.ingest import IngestReport, ingest_batch
from pipelines.collect.metric_types import declare_types
from pipelines.common.tenant_platform import Platform
from pipelines.sources.remote_write import RemoteWriteReceiver

#: Adds to a batch what is declared elsewhere (`series.csv`).
Describe = Callable[[Batch], Batch]


def store_remote_write(
    platform: Platform, receiver: RemoteWriteReceiver, body: bytes, describe: Describe
) -> IngestReport:
    """Store the good series and samples of a request, and dead letters of the bad ones, in one transaction.

    Raises:
        InputError: the body is not a WriteRequest compressed with snappy; nothing of it is kept.
        UnavailableError: the database does not answer; nothing of the request is kept, and rates are as before.
    """
    request = receiver.decode(body)
    store = platform.store
    with store.atomically():
        retyped = declare_types(store, request.metric_types)
        types = store.metric_types.declared(sorted(declaring_names(request.metrics)))
        batch = receiver.batch(request, types)
        batch = replace(batch, series=_with_steps(store, batch), rejected=_joined(retyped, batch.rejected))
        return ingest_batch(platform, receiver.name, describe(batch))


def _joined(*frames: pl.DataFrame | None) -> pl.DataFrame:
    return pl.concat([frame for frame in frames if frame is not None])


def _with_steps(store: Store, batch: Batch) -> list[Series]:
    """The series with their steps: the stored one, else the usual time between two samples."""
    ids = [series.series_id for series in batch.series]
    stored = store.series.steps(ids)
    unknown = [one for one in ids if stored.get(one, DEFAULT_STEP_S) == DEFAULT_STEP_S]
    learned = _learned_steps(store, batch, unknown) if unknown else {}
    return [
        replace(series, step_s=learned.get(series.series_id) or stored.get(series.series_id, DEFAULT_STEP_S))
        for series in batch.series
    ]


def _learned_steps(store: Store, batch: Batch, series_ids: list[int]) -> dict[int, int]:
    """Steps of those series that have at least two samples, the stored ones included."""
    sent = _joined(batch.samples, batch.counts).filter(pl.col("series_id").is_in(series_ids))
    times: dict[int, set[datetime]] = defaultdict(set)
    for series_id, ts, _ in sent.iter_rows():
        times[series_id].add(ts)
    for series_id, newest in store.samples.newest_times(series_ids).items():
        times[series_id].add(newest)
    for series_id, ts, _ in store.counters.recent(series_ids).iter_rows():
        times[series_id].add(ts)
    return {
        series_id: max(1, round(median((b - a).total_seconds() for a, b in pairwise(sorted(moments)))))
        for series_id, moments in times.items()
        if len(moments) > 1
    }
