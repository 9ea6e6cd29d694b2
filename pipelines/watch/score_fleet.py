"""Score a fleet some services after the other, so that memory does not grow with it; of a large one in workers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TypeVar
from uuid import uuid4

import polars as pl

from core.domain import Event, ModelRef, Series, Signal
from models.detect.bundle import DetectorBundle
from models.detect.learned_fleet import CANDIDATE, LearnedFleet
from models.signals.ends import SeriesEnds
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import map_chunks
from pipelines.processes.worker_platform import ModelChangedError, WorkerPlatform
from pipelines.watch.score_part import (
    PartScores,
    ScoreJob,
    SignalsJob,
    Window,
    part_signals,
    score_job,
    score_part,
    signals_job,
)

Job = TypeVar("Job")
Result = TypeVar("Result")

#: Series whose samples are read and scored at once; more, where one service has more.
SERIES_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScores:
    """What the samples of a fleet show.

    Attributes:
        points: how many samples were scored from the start of the window on.
        anomalies: `series_id` and `ts` of the values that are anomalies, in the whole window.
        signals: about anomalies, see `anomaly_signals`.
        missing: signals about series without values.
        first_values: series id -> the time of its first value.
    """

    points: int
    anomalies: pl.DataFrame
    signals: tuple[Signal, ...]
    missing: tuple[Signal, ...]
    first_values: dict[int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScoring:
    """The series of a tenant that a cycle scores.

    Attributes:
        fleet: of the version `model`, with the limits of now.
        stored: all series as they are stored now.
        since: the signals are those of episodes that last beyond it.
        events: deploys, resizes and maintenance of all services.
        scorer: workers, or the detectors of this version, with which this process scores.
    """

    platform: Platform
    model: ModelRef
    fleet: LearnedFleet
    stored: Sequence[Series]
    window: Window
    since: datetime
    events: Sequence[Event]
    ends: SeriesEnds
    scorer: WorkerPlatform | DetectorBundle

    def scores(self, progress: Progress) -> FleetScores:
        """Score all series of the fleet; the result is that of all of them at once.

        Raises:
            ModelChangedError: the newest version is another one by now.
        """
        candidates = [pl.DataFrame(schema=CANDIDATE)]
        missing: list[Signal] = []
        first: dict[int, datetime] = {}
        points = done = 0
        progress("detect anomalies", 0, len(self.fleet.series))
        jobs = list(self._jobs())
        for job, part in zip(jobs, self._scored(jobs), strict=True):
            points += part.points
            candidates.append(part.candidates)
            missing += part.missing
            first |= part.first_values
            done += len(job.series_ids)
            progress("detect anomalies", done, len(self.fleet.series))
        anomalies = self.fleet.decided(pl.concat(candidates)).filter("is_anomaly").select("series_id", "ts")
        found = [signal for part in self._signals(jobs, anomalies) for signal in part]
        return FleetScores(
            points=points,
            anomalies=anomalies,
            signals=tuple(sorted(found, key=lambda one: (one.started_at, one.signal_id))),
            missing=tuple(missing),
            first_values=first,
        )

    def _jobs(self) -> Iterator[ScoreJob]:
        stored = {one.series_id: one for one in self.stored}
        times_ms = self.ends.times_ms
        run = uuid4().hex
        for number, ids in enumerate(_some_services(self.fleet)):
            services = {self.fleet.series[key].series.service for key in ids} | {"*"}
            yield ScoreJob(
                key=f"{run} {number}",
                model=self.model,
                window=self.window,
                stored=[stored[key] for key in ids if key in stored],
                series_ids=ids,
                events=[event for event in self.events if event.service in services],
                ends=SeriesEnds({key: times_ms[key] for key in ids if key in times_ms}),
            )

    def _scored(self, jobs: Sequence[ScoreJob]) -> Iterator[PartScores]:
        scorer = self.scorer
        if isinstance(scorer, DetectorBundle):
            return (score_part(self.platform, scorer, job) for job in jobs)
        return self._in_workers(score_job, ((scorer, job) for job in jobs))

    def _signals(self, jobs: Sequence[ScoreJob], anomalies: pl.DataFrame) -> Iterator[list[Signal]]:
        """The signals of each part that has anomalies."""
        parts = (
            SignalsJob(part=job, anomalies=mine, since=self.since)
            if (mine := anomalies.filter(pl.col("series_id").is_in(job.series_ids))).height
            else None
            for job in jobs
        )
        scorer = self.scorer
        if isinstance(scorer, DetectorBundle):
            return (part_signals(self.platform, scorer, one) for one in parts if one is not None)
        # Also those without anomalies, so that each part comes to the worker that has scored it.
        return self._in_workers(signals_job, ((scorer, one) for one in parts))

    def _in_workers(self, function: Callable[[Job], Result | None], jobs: Iterable[Job]) -> Iterator[Result]:
        settings = self.platform.settings
        for found in map_chunks(function, jobs, workers=settings.workers, compute=settings.compute):
            if found is None:
                raise ModelChangedError
            yield found


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
