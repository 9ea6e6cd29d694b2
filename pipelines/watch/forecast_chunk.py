"""Forecast a chunk of series: in this process, or in a worker that opens the platform of the tenant itself.

A chunk gives the same result wherever it is computed, to the last digit. Workers only read: the process that has the
cycle stores the forecasts and the signals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.domain import Event, ModelRef, Series
from core.errors import InsufficientDataError
from core.resizes import is_resize_of
from models.breach.bundle import BreachBundle
from models.breach.fleet import ForecastFleet
from models.forecast.bundle import Prediction, forecast_frame
from models.signals.breach import SeriesOutlook
from pipelines.common.forecasters import KIND, read_recent, with_measured_resizes
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import chunked, map_chunks
from pipelines.processes.worker_platform import ModelChangedError, WorkerPlatform, load_version

#: Series whose samples are read and forecast at once. The same everywhere: what is read for a series starts at the
#: oldest history of its chunk.
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastJob:
    """Series to forecast.

    Attributes:
        model: the version that the cycle uses.
        series_ids: ascending; the bundle has a forecaster of each.
        stored: these series as they are stored now.
        now: the present.
        ended: `series_id` -> when its sender ended it; such a series has no forecast.
        resizes: see `pipelines.common.forecasters.resize_events`.
    """

    model: ModelRef
    series_ids: Sequence[int]
    stored: Sequence[Series]
    now: datetime
    ended: Mapping[int, datetime]
    resizes: Sequence[Event]


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
class FleetForecasting:
    """The series of a tenant that a cycle forecasts.

    Attributes:
        fleet: of the version `model`.
        stored: all series as they are stored now.
        resizes: see `pipelines.common.forecasters.resize_events`.
        ended: `series_id` -> when its sender ended it.
        forecaster: workers, or the forecasters of this version, with which this process forecasts.
    """

    platform: Platform
    model: ModelRef
    fleet: ForecastFleet
    stored: Sequence[Series]
    resizes: Sequence[Event]
    ended: Mapping[int, datetime]
    forecaster: WorkerPlatform | BreachBundle

    def chunks(self, now: datetime, progress: Progress) -> Iterator[ChunkForecast]:
        """Forecast all series, chunk by chunk in the order of their ids.

        Raises:
            ModelChangedError: the newest version is another one by now.
        """
        done = 0
        for found in self._forecast(now):
            if found is None:
                raise ModelChangedError
            done += found.series
            progress("forecasts", done, len(self.fleet.series_ids))
            yield found

    def _forecast(self, now: datetime) -> Iterator[ChunkForecast | None]:
        forecaster = self.forecaster
        if isinstance(forecaster, BreachBundle):
            return (forecast_chunk(self.platform, forecaster, job) for job in self._jobs(now))
        settings = self.platform.settings
        # A worker keeps the forecasts of its series, which are the same until the next step of the hour.
        jobs = ((forecaster, job) for job in self._jobs(now))
        return map_chunks(forecast_job, jobs, workers=settings.workers, compute=settings.compute)

    def _jobs(self, now: datetime) -> Iterator[ForecastJob]:
        stored = {one.series_id: one for one in self.stored}
        for part in chunked(self.fleet.series_ids, CHUNK):
            known = [stored[key] for key in part if key in stored]
            yield ForecastJob(
                model=self.model,
                series_ids=part,
                stored=known,
                now=now,
                ended={key: self.ended[key] for key in part if key in self.ended},
                resizes=[event for event in self.resizes if any(is_resize_of(event, one) for one in known)],
            )


def forecast_chunk(platform: Platform, learned: BreachBundle, job: ForecastJob) -> ChunkForecast:
    """Forecast the series of a chunk from their newest samples, and predict their breaches."""
    bundle = learned.part(job.series_ids).with_limits(job.stored)
    bundle = with_measured_resizes(platform, bundle, job.resizes, job.now)
    predictions: list[Prediction] = []
    outlooks: dict[int, SeriesOutlook] = {}
    skipped: dict[str, str] = {}
    recent = read_recent(platform, bundle, job.series_ids, job.now)
    for series_id in job.series_ids:
        series = bundle.forecasters.entries[series_id].series
        if series_id in job.ended:
            skipped[series.name] = f"its sender ended it at {job.ended[series_id]:%Y-%m-%d %H:%M} UTC"
            continue
        try:
            prediction, outlook = bundle.outlook(series_id, recent[series_id], job.now)
        except InsufficientDataError as error:
            skipped[series.name] = str(error)
            continue
        predictions.append(prediction)
        if outlook is not None:
            outlooks[series_id] = SeriesOutlook.of(series, outlook, prediction)
    return ChunkForecast(
        series=len(predictions), forecasts=forecast_frame(predictions), outlooks=outlooks, skipped=skipped
    )


def forecast_job(job: tuple[WorkerPlatform, ForecastJob]) -> ChunkForecast | None:
    """`forecast_chunk` in a worker; null if the newest version is another one by now."""
    worker, part = job
    with worker.opened() as platform:
        learned = load_version(platform, KIND, BreachBundle.from_files, part.model)
        return None if learned is None else forecast_chunk(platform, learned, part)
