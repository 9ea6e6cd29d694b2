"""Forecast a chunk of series: in this process, or in a worker that opens the platform of the tenant itself.

A chunk gives the same result wherever it is computed, to the last digit. Workers only read: the process that has the
cycle stores the forecasts and the signals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from pydantic import SecretStr

from core.archive import archive_place
from core.clock import FixedClock
from core.domain import ModelRef, Series
from core.errors import InsufficientDataError
from core.settings import Settings
from models.breach.bundle import BreachBundle
from models.forecast.bundle import Prediction, forecast_frame
from models.forecast.resizes import Resize
from models.signals.breach import SeriesOutlook
from pipelines.common.forecasters import load_version, read_recent
from pipelines.common.tenant_platform import OpenPlatform, Platform
from pipelines.processes.parallel import chunked, keeps_workers, map_chunks
from pipelines.processes.temporary_files import own_temporary_folder

#: Series whose samples are read and forecast at once. The same everywhere: what is read for a series starts at the
#: oldest history of its chunk.
CHUNK = 200
#: Least number of series for which workers are used; only those that stay for the next cycle are. One that starts for
#: a single cycle needs longer for its imports and its models than it saves.
WORTH_WORKERS = 2_000
_SECRETS_OF_STORES = ("database_url", "mlflow_tracking_uri", "redis_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Series to forecast.

    Attributes:
        series_ids: ascending; the bundle has a forecaster of each.
        now: the present.
        ended: `series_id` -> when its sender ended it; such a series has no forecast.
    """

    series_ids: Sequence[int]
    now: datetime
    ended: Mapping[int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkForecast:
    """What was predicted for a chunk.

    Attributes:
        series: how many series have a forecast.
        forecasts: see `models.forecast.bundle.FORECASTS`.
        outlooks: by `series_id`, of series with a threshold.
        skipped: name of the series -> why it has no forecast.
    """

    series: int
    forecasts: pl.DataFrame
    outlooks: Mapping[int, SeriesOutlook]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastJob:
    """A chunk for a worker.

    Attributes:
        open: opens the platform there.
        model: the version that the cycle uses.
        stored: the series of the chunk as they are stored now.
        resizes: of the series of the chunk, by `series_id`.
    """

    open: OpenPlatform
    settings: Settings
    tenant: str
    model: ModelRef
    stored: Sequence[Series]
    resizes: Mapping[int, Sequence[Resize]]
    chunk: Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The series of a tenant that a cycle forecasts.

    Attributes:
        bundle: of the version `model`, with the limits and sizes of now.
        stored: all series as they are stored now.
        resizes: by `series_id`.
    """

    platform: Platform
    model: ModelRef
    bundle: BreachBundle
    stored: Sequence[Series]
    resizes: Mapping[int, Sequence[Resize]]

    def forecast(self, now: datetime, ended: Mapping[int, datetime]) -> Iterator[ChunkForecast]:
        """Forecast all series, chunk by chunk in the order of their ids; with workers if that pays."""
        ids = sorted(self.bundle.forecasters.entries)
        chunks = [
            Chunk(series_ids=part, now=now, ended={key: ended[key] for key in part if key in ended})
            for part in chunked(ids, CHUNK)
        ]
        settings, opens = self.platform.settings, self.platform.elsewhere
        if opens is None or settings.workers == 1 or not _pays(settings, len(ids)):
            for chunk in chunks:
                yield forecast_chunk(self.platform, self.bundle, chunk)
            return
        jobs = self._jobs(opens, chunks)
        # A worker keeps the forecasts of its series, which are the same until the next step of the hour.
        found = map_chunks(
            forecast_job, jobs, workers=settings.workers, compute=settings.compute, same_worker=True
        )
        for chunk, done in zip(chunks, found, strict=True):
            yield done or forecast_chunk(self.platform, self.bundle, chunk)

    def _jobs(self, opens: OpenPlatform, chunks: Sequence[Chunk]) -> Iterator[ForecastJob]:
        stored = {one.series_id: one for one in self.stored}
        settings = _for_a_worker(self.platform.settings)
        for chunk in chunks:
            yield ForecastJob(
                open=opens,
                settings=settings,
                tenant=self.platform.tenant,
                model=self.model,
                stored=[stored[key] for key in chunk.series_ids if key in stored],
                resizes={key: self.resizes[key] for key in chunk.series_ids if key in self.resizes},
                chunk=chunk,
            )


def forecast_chunk(platform: Platform, bundle: BreachBundle, chunk: Chunk) -> ChunkForecast:
    """Forecast the series of a chunk from their newest samples, and predict their breaches."""
    predictions: list[Prediction] = []
    outlooks: dict[int, SeriesOutlook] = {}
    skipped: dict[str, str] = {}
    recent = read_recent(platform, bundle, chunk.series_ids, chunk.now)
    for series_id in chunk.series_ids:
        series = bundle.forecasters.entries[series_id].series
        if series_id in chunk.ended:
            skipped[series.name] = f"its sender ended it at {chunk.ended[series_id]:%Y-%m-%d %H:%M} UTC"
            continue
        try:
            prediction, outlook = bundle.outlook(series_id, recent[series_id], chunk.now)
        except InsufficientDataError as error:
            skipped[series.name] = str(error)
            continue
        predictions.append(prediction)
        if outlook is not None:
            outlooks[series_id] = SeriesOutlook.of(series, outlook, prediction)
    return ChunkForecast(
        series=len(predictions), forecasts=forecast_frame(predictions), outlooks=outlooks, skipped=skipped
    )


def forecast_job(job: ForecastJob) -> ChunkForecast | None:
    """Forecast a chunk in a worker; null if the newest version is another one by now."""
    own_temporary_folder()
    clock = FixedClock(job.chunk.now)
    with job.open(job.settings, tenant=job.tenant, clock=clock) as platform:
        bundle = load_version(platform, job.model)
        if bundle is None:
            return None
        present = bundle.with_limits(job.stored).with_resizes(job.resizes)
        return forecast_chunk(platform, present, job.chunk)


def _pays(settings: Settings, series: int) -> bool:
    # A cluster that the settings name is used for a fleet of any size.
    return settings.compute != "processes" or (keeps_workers() and series >= WORTH_WORKERS)


def _for_a_worker(settings: Settings) -> Settings:
    """The settings with absolute paths, for a worker in another folder, and without passwords that it does not need."""
    changes: dict[str, object] = {"queues": ()}
    for name, value in settings:
        if isinstance(value, Path):
            changes[name] = value.absolute()
        elif isinstance(value, SecretStr) and name not in _SECRETS_OF_STORES:
            changes[name] = None
    if settings.archive_url is not None and (place := archive_place(settings.archive_url)).bucket is None:
        changes["archive_url"] = str(Path(place.path).absolute())
    return settings.model_copy(update=changes)
