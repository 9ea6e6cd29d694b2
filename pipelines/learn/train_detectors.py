"""Train the detectors of the whole fleet and register them as one version."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import polars as pl

from core.domain import Event, Series
from core.settings import Settings
from core.training import Training
from models.detect.budget import OTHERS
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.detect.catalog import select_detectors
from models.detect.held_out import HeldOutPart, held_out_metrics, held_out_part
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.learning_window import LearningWindow, learning_window
from pipelines.learn.report import TrainReport
from pipelines.processes.parallel import map_chunks

KIND = "detector"
#: The calibration is checked on the last days, by a bundle that has not seen them.
HELD_OUT = timedelta(days=3)
#: Series of one job for a worker; more, where one service has more.
SERIES_PER_JOB = 200
#: Least number of series for which processes are started, because each needs seconds for its imports.
WORTH_PROCESSES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorJob:
    """Some whole services to learn, for a worker.

    Attributes:
        samples: of the learning window; exclusions: `core.frames.EXCLUSIONS`.
        border: the days from here on are held out of a first fit; null: the window is too short for that.
    """

    samples: pl.DataFrame
    series: Sequence[Series]
    exclusions: pl.DataFrame
    events: Sequence[Event]
    options: DetectorOptions
    border: datetime | None


@one_at_a_time("train/detector")
def train_detectors(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Learn from the 30 days before `at` and register the bundle as challenger.

    Raises:
        ConfigurationError: `FOREWARN_DETECTORS` names a detector that is not in the catalog.
        InsufficientDataError: there are no samples.
    """
    settings = platform.settings
    options = detector_options(settings)
    window = learning_window(platform, at=at)
    total = len(window.series)
    progress("detectors", 0, total)
    worth = settings.compute != "processes" or total >= WORTH_PROCESSES
    parts: list[DetectorBundle] = []
    held_out: list[HeldOutPart] = []
    jobs = _jobs(platform, window, options)
    for part, checked in map_chunks(
        fit_detectors, jobs, workers=settings.workers if worth else 1, compute=settings.compute
    ):
        parts.append(part)
        held_out += [] if checked is None else [checked]
        progress("detectors", sum(len(one.models) + len(one.skipped) for one in parts), total)
    bundle = DetectorBundle.merged(parts, options)
    metrics = held_out_metrics(held_out, options)
    names = {one.series_id: one.name for one in window.series}
    ref = platform.registry.register(
        KIND,
        bundle.to_files(),
        Training(
            window_start=window.start,
            window_end=window.end,
            seed=settings.seed,
            params={
                "series": len(bundle.models),
                "detectors": ",".join(bundle.names),
                "alpha": bundle.budgets[OTHERS].base_alpha,
                **{f"alpha.{name}": one.base_alpha for name, one in bundle.budgets.items() if name != OTHERS},
            },
            metrics=metrics,
        ),
    )
    skipped = {names.get(key, str(key)): why for key, why in bundle.skipped.items()}
    unknown = set(settings.alert_budget_by_service) - {one.service for one in window.series}
    skipped |= dict.fromkeys(sorted(unknown), "it has an alert budget but no series")
    return TrainReport(model=ref, trained=len(bundle.models), skipped=skipped, metrics=metrics)


def detector_options(settings: Settings) -> DetectorOptions:
    """How the settings want the detectors to be fitted.

    Raises:
        ConfigurationError: `FOREWARN_DETECTORS` names a detector that is not in the catalog.
    """
    return DetectorOptions(
        detectors=select_detectors(settings.detectors),
        alarms_per_week=settings.alert_budget_per_week,
        alarms_by_service=settings.alert_budget_by_service,
        seed=settings.seed,
        time_zone=settings.time_zone,
    )


def _jobs(platform: Platform, window: LearningWindow, options: DetectorOptions) -> Iterator[DetectorJob]:
    """Jobs of whole services, each read when a worker is free, so that memory does not grow with the fleet."""
    border = window.end - HELD_OUT if window.end - window.start >= 2 * HELD_OUT else None
    for series in _of_services(window.series):
        # What happened to other services would make each job grow with the fleet.
        services = {"*", *(one.service for one in series)}
        yield DetectorJob(
            samples=platform.store.samples.read(window.start, window.end, [one.series_id for one in series]),
            series=series,
            exclusions=window.exclusions.filter(pl.col("service").is_in(services)),
            events=[one for one in window.events if one.service in services],
            options=options,
            border=border,
        )


def _of_services(series: Sequence[Series]) -> Iterator[list[Series]]:
    found: list[Series] = []
    for _, members in groupby(sorted(series, key=lambda one: one.service), key=lambda one: one.service):
        found += members
        if len(found) >= SERIES_PER_JOB:
            yield found
            found = []
    if found:
        yield found


def fit_detectors(job: DetectorJob) -> tuple[DetectorBundle, HeldOutPart | None]:
    """Learn some services, and check the calibration by a fit without the last days; runs in a worker."""
    return _fitted(job, job.samples), _checked(job)


def _checked(job: DetectorJob) -> HeldOutPart | None:
    if job.border is None:
        return None
    before = job.samples.filter(pl.col("ts") < job.border)
    if before.is_empty():
        return None
    after = job.samples.filter(pl.col("ts") >= job.border)
    return held_out_part(_fitted(job, before), after, job.exclusions, job.options)


def _fitted(job: DetectorJob, samples: pl.DataFrame) -> DetectorBundle:
    return DetectorBundle.fit(samples, job.series, job.exclusions, job.events, job.options)
