"""Store what clients push: the samples of remote_write and of OTLP."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

import polars as pl

from core.batch import Batch
from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.frames import SAMPLES
from core.metric_types import declaring_names
from core.ports import Store
from pipelines.collect.counter_rates import without_starts
from pipelines.collect.ingest import IngestReport, store_accepted
from pipelines.collect.metric_types import Sender, declare_types, reread
from pipelines.common.tenant_platform import Platform
from pipelines.sources.remote_write import Message, RemoteWriteReceiver

_TIMES = {name: SAMPLES[name] for name in ("series_id", "ts")}
#: Adds to a batch what is declared elsewhere (`series.csv`).
Describe = Callable[[Batch], Batch]


class PushedRequest(Protocol):
    """A decoded request.

    Attributes:
        metric_types: metric -> type, as the request declares them for all requests.
        metrics: those whose declared types its batch depends on.
    """

    @property
    def metric_types(self) -> Mapping[str, str]: ...

    @property
    def metrics(self) -> Iterable[str]: ...


Request = TypeVar("Request", bound=PushedRequest, contravariant=True)


class Receiver(Protocol[Request]):
    """Turns the requests of one tenant into batches.

    Attributes:
        name: of the source, in dead letters.
    """

    @property
    def name(self) -> str: ...

    def batch(self, request: Request, types: Mapping[str, str]) -> Batch:
        """The batch of a request.

        Args:
            types: metric -> type, of all that is known of the metrics of the request.
        """
        ...

    def with_step(self, series: Series, step_s: int) -> Series:
        """The series with this step."""
        ...


def store_remote_write(
    platform: Platform,
    receiver: RemoteWriteReceiver,
    body: bytes,
    describe: Describe,
    message: Message = Message.VERSION_1,
) -> IngestReport:
    """Store a request of remote_write; see `store_pushed`.

    Raises:
        InputError: the body is not such a message, compressed with snappy; nothing of it is kept.
        UnavailableError: the database does not answer; nothing of the request is kept, and rates are as before.
    """
    return store_pushed(platform, receiver, receiver.decode(body, message), describe)


def store_pushed(
    platform: Platform, receiver: Receiver[Request], request: Request, describe: Describe
) -> IngestReport:
    """Store the good series and samples of a request, and dead letters of the bad ones, in one transaction.

    Raises:
        UnavailableError: the database does not answer; nothing of the request is kept, and rates are as before.
    """
    return store_request(platform, receiver, request, describe)[0]


def store_request(
    platform: Platform, receiver: Receiver[Request], request: Request, describe: Describe
) -> tuple[IngestReport, pl.DataFrame]:
    """As `store_pushed`, with all rejected rows beside the report."""
    return platform.store.atomically_retried(lambda: _store(platform, receiver, request, describe))


def _store(
    platform: Platform, receiver: Receiver[Request], request: Request, describe: Describe
) -> tuple[IngestReport, pl.DataFrame]:
    store = platform.store
    retyped = declare_types(store, request.metric_types, Sender(name=receiver.name, at=platform.clock.now()))
    names = sorted(declaring_names(request.metrics))
    batch = receiver.batch(request, store.metric_types.declared(names) if names else {})
    stored = store.series.kinds_and_steps([series.series_id for series in batch.series])
    if changed := [one for one in batch.series if _is_reread(one, stored.get(one.series_id))]:
        retyped = pl.concat([retyped, reread(store, changed)])
    batch = replace(batch, series=_with_steps(store, receiver, batch, stored))
    report, refused = store_accepted(platform, receiver.name, describe(batch), retyped)
    store.dead_letters.add(receiver.name, refused)
    return report, refused


def _is_reread(series: Series, stored: tuple[SeriesKind, int] | None) -> bool:
    """Whether the series has become a counter, or is none any more."""
    counter = SeriesKind.COUNTER
    return stored is not None and (stored[0] is counter) is not (series.kind is counter)


def _with_steps(
    store: Store,
    receiver: Receiver[Request],
    batch: Batch,
    stored: Mapping[int, tuple[SeriesKind, int]],
) -> list[Series]:
    """The series with their steps: the stored one, else the usual time between two samples."""
    ids = [series.series_id for series in batch.series]
    steps = [stored[one][1] if one in stored else DEFAULT_STEP_S for one in ids]
    unknown = [one for one, step_s in zip(ids, steps, strict=True) if step_s == DEFAULT_STEP_S]
    learned = _learned_steps(store, batch, unknown) if unknown else {}
    return [
        receiver.with_step(series, learned.get(series.series_id, step_s))
        for series, step_s in zip(batch.series, steps, strict=True)
    ]


def _learned_steps(store: Store, batch: Batch, series_ids: list[int]) -> dict[int, int]:
    """Steps of those series that have at least two samples, the stored ones included."""
    newest = store.samples.newest_times(series_ids)
    known = pl.DataFrame(list(newest.items()), schema=_TIMES, orient="row")
    recent = without_starts(store.counters.recent(series_ids, lock=False))
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
