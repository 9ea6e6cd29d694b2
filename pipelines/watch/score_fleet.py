"""Score a fleet some services after the other, so that memory does not grow with it; of a large one in workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import polars as pl

from core.domain import Event, ModelRef, Series, Signal
from models.detect.bundle import DetectorBundle
from models.detect.learned_fleet import LearnedFleet
from models.signals.ends import SeriesEnds
from models.signals.missing import first_values, missing_signals
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_detectors import KIND
from pipelines.processes.parallel import map_chunks
from pipelines.processes.worker_platform import ModelChangedError, WorkerPlatform, load_version

#: Series whose samples are read and scored at once; more, where one service has more.
SERIES_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScores:
    """What the samples of a fleet show.

    Attributes:
        rows: see `DetectorBundle.score`, of all services that may have an anomaly.
        points: how many samples were scored from the start of the window on.
        missing: signals about series without values.
        first_values: series id -> the time of its first value.
    """

    rows: pl.DataFrame
    points: int
    missing: tuple[Signal, ...]
    first_values: dict[int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time that is scored: samples from `context` on are read, and those from `start` to `end` are new."""

    context: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScores:
    """What the samples of some services show, see `FleetScores`; `rows` are not decided yet."""

    rows: pl.DataFrame
    points: int
    missing: Sequence[Signal]
    first_values: Mapping[int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """Some services to score.

    Attributes:
        model: the version that the cycle uses.
        stored: the series of the services as they are stored now.
    """

    model: ModelRef
    window: Window
    stored: Sequence[Series]
    series_ids: Sequence[int]
    events: Sequence[Event]
    ends: SeriesEnds


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScoring:
    """The series of a tenant that a cycle scores.

    Attributes:
        fleet: of the version `model`, with the limits of now.
        stored: all series as they are stored now.
        worker: where parts are scored; null: in this process, which then has the detectors.
    """

    platform: Platform
    model: ModelRef
    fleet: LearnedFleet
    stored: Sequence[Series]
    window: Window
    events: Sequence[Event]
    ends: SeriesEnds
    worker: WorkerPlatform | None

    def scores(self, progress: Progress) -> FleetScores:
        """Score all series of the fleet; the result is that of all of them at once.

        Raises:
            ModelChangedError: the newest version is another one by now.
        """
        kept: list[pl.DataFrame] = []
        missing: list[Signal] = []
        first: dict[int, datetime] = {}
        points = done = 0
        progress("detect anomalies", 0, len(self.fleet.series))
        services = list(_some_services(self.fleet))
        for ids, part in zip(services, self._parts(services), strict=True):
            if part is None:
                raise ModelChangedError
            points += part.points
            kept.append(part.rows)
            missing += part.missing
            first |= part.first_values
            done += len(ids)
            progress("detect anomalies", done, len(self.fleet.series))
        rows = self.fleet.decided(pl.concat([self.fleet.no_rows(), *kept]))
        return FleetScores(rows=rows, points=points, missing=tuple(missing), first_values=first)

    def _parts(self, services: Sequence[Sequence[int]]) -> Iterator[PartScores | None]:
        if (worker := self.worker) is None:
            ref, learned = self.platform.models.get(KIND, DetectorBundle.from_files)
            if ref != self.model:
                raise ModelChangedError
            return (score_part(self.platform, learned, job) for job in self._jobs(services))
        settings = self.platform.settings
        jobs = ((worker, job) for job in self._jobs(services))
        return map_chunks(score_job, jobs, workers=settings.workers, compute=settings.compute)

    def _jobs(self, services: Sequence[Sequence[int]]) -> Iterator[ScoreJob]:
        stored = {one.series_id: one for one in self.stored}
        times_ms = self.ends.times_ms
        for ids in services:
            yield ScoreJob(
                model=self.model,
                window=self.window,
                stored=[stored[key] for key in ids if key in stored],
                series_ids=ids,
                events=self.events,
                ends=SeriesEnds({key: times_ms[key] for key in ids if key in times_ms}),
            )


def score_part(platform: Platform, learned: DetectorBundle, job: ScoreJob) -> PartScores:
    """Score the series of whole services. Only rows that the alert budget may decide about come back."""
    window = job.window
    bundle = learned.part(job.series_ids).with_limits(job.stored)
    samples = platform.store.samples.read(window.context, window.end, job.series_ids)
    scored = bundle.undecided(samples, job.events)
    return PartScores(
        rows=bundle.fleet.of_interest(scored),
        points=scored.filter(pl.col("ts") >= window.start).height,
        missing=missing_signals(
            bundle.fleet, samples, job.model, start=window.start, end=window.end, ends=job.ends
        ),
        first_values=first_values(samples),
    )


def score_job(job: tuple[WorkerPlatform, ScoreJob]) -> PartScores | None:
    """`score_part` in a worker; null if the newest version is another one by now."""
    worker, part = job
    with worker.opened() as platform:
        learned = load_version(platform, KIND, DetectorBundle.from_files, part.model)
        return None if learned is None else score_part(platform, learned, part)


def _some_services(fleet: LearnedFleet) -> Iterator[list[int]]:
    """The series of whole services, because detectors and silences look at all series of a service."""
    models = sorted(fleet.series.items(), key=lambda one: (one[1].series.service, one[0]))
    ids: list[int] = []
    for _, members in groupby(models, key=lambda one: one[1].series.service):
        ids += [key for key, _ in members]
        if len(ids) >= SERIES_AT_ONCE:
            yield ids
            ids = []
    if ids:
        yield ids
