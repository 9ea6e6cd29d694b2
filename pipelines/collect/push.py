"""Store what a Prometheus pushes by remote_write."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from core.batch import Batch
from core.domain import DEFAULT_STEP_S, Series
from core.frames import SAMPLES
from core.metric_types import declaring_names
from core.ports import Store
from pipelines.collect.ingest import IngestReport, store_batch
from pipelines.collect.metric_types import declare_types
from pipelines.common.tenant_platform import Platform
from pipelines.sources.remote_write import RemoteWriteReceiver

_TIMES = {name: SAMPLES[name] for name in ("series_id", "ts")}
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
        batch = replace(batch, series=_with_steps(store, receiver, batch))
        return store_batch(platform, receiver.name, describe(batch), retyped)


def _with_steps(store: Store, receiver: RemoteWriteReceiver, batch: Batch) -> list[Series]:
    """The series with their steps: the stored one, else the usual time between two samples."""
    ids = [series.series_id for series in batch.series]
    stored = store.series.steps(ids)
    unknown = [one for one in ids if stored.get(one, DEFAULT_STEP_S) == DEFAULT_STEP_S]
    steps = {**stored, **(_learned_steps(store, batch, unknown) if unknown else {})}
    return [
        receiver.with_step(series, steps.get(one, DEFAULT_STEP_S))
        for one, series in zip(ids, batch.series, strict=True)
    ]


def _learned_steps(store: Store, batch: Batch, series_ids: list[int]) -> dict[int, int]:
    """Steps of those series that have at least two samples, the stored ones included."""
    newest = store.samples.newest_times(series_ids)
    known = pl.DataFrame(list(newest.items()), schema=_TIMES, orient="row")
    recent = store.counters.recent(series_ids, lock=False)
    frames = (batch.samples, batch.counts, recent)
    sent = pl.concat([frame.select(*_TIMES) for frame in frames if frame is not None])
    wanted = sent.filter(pl.col("series_id").is_in(series_ids))
    return median_steps(pl.concat([wanted, known]))


def median_steps(times: pl.DataFrame) -> dict[int, int]:
    """Series id -> the median of the seconds between two times, at least 1; of series with two times or more.

    Args:
        times: columns series_id and ts, in any order; a time that comes twice counts once.
    """
    gaps = (
        times.unique()
        .sort("series_id", "ts")
        .with_columns(gap=pl.col("ts").diff().over("series_id").dt.total_microseconds())
        .drop_nulls()
    )
    medians = gaps.group_by("series_id").agg(pl.col("gap").median() / 1e6)
    return {series_id: max(1, round(seconds)) for series_id, seconds in medians.iter_rows()}
