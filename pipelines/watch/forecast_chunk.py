"""Forecast a chunk of series: in this process, or in a worker that opens the platform of the tenant itself.

A chunk gives the same result wherever it is computed, to the last digit. Workers only read: the process that has the
cycle stores the forecasts and the signals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.domain import ModelRef, Series
from core.errors import InsufficientDataError
from models.breach.bundle import BreachBundle
from models.forecast.bundle import Prediction, forecast_frame
from models.forecast.resizes import Resize
from models.signals.breach import SeriesOutlook
from pipelines.common.forecasters import read_recent
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import chunked, map_chunks
from pipelines.watch.worker_platform import WorkerPlatform, load_version

#: Series whose samples are read and forecast at once. The same everywhere: what is read for a series starts at the
#: oldest history of its chunk.
CHUNK = 200


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
        model: the version that the cycle uses.
        stored: the series of the chunk as they are stored now.
        resizes: of the series of the chunk, by `series_id`.
    """

    worker: WorkerPlatform
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
        worker = WorkerPlatform.of(self.platform, len(ids), now)
        if worker is None:
            for chunk in chunks:
                yield forecast_chunk(self.platform, self.bundle, chunk)
            return
        settings = self.platform.settings
        # A worker keeps the forecasts of its series, which are the same until the next step of the hour.
        jobs = self._jobs(worker, chunks)
        found = map_chunks(forecast_job, jobs, workers=settings.workers, compute=settings.compute)
        for chunk, done in zip(chunks, found, strict=True):
            yield done or forecast_chunk(self.platform, self.bundle, chunk)

    def _jobs(self, worker: WorkerPlatform, chunks: Sequence[Chunk]) -> Iterator[ForecastJob]:
        stored = {one.series_id: one for one in self.stored}
        for chunk in chunks:
            yield ForecastJob(
                worker=worker,
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
    with job.worker.opened() as platform:
        bundle = load_version(platform, "forecaster", BreachBundle.from_files, job.model)
        if bundle is None:
            return None
        present = bundle.with_limits(job.stored).with_resizes(job.resizes)
        return forecast_chunk(platform, present, job.chunk)
