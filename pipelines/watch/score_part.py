"""Score the services of one part of a fleet, in a worker or in the process of the cycle, in two passes.

The alert budget decides over the whole fleet. So the first pass tells what it may decide about, and the second one
builds the signals of what it has decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import polars as pl

from core.domain import Event, ModelRef, Series, Signal
from models.detect.bundle import DetectorBundle
from models.detect.learned_fleet import marked
from models.signals.anomaly import anomaly_signals
from models.signals.ends import SeriesEnds
from models.signals.missing import first_values, missing_signals
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_detectors import KIND
from pipelines.processes.worker_platform import WorkerPlatform, load_version

#: A process keeps so many bytes of scored rows from the first pass for the second one. Other parts are scored again.
KEPT_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time that is scored: samples from `context` on are read, and those from `start` to `end` are new."""

    context: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScores:
    """What the samples of some services show.

    Attributes:
        candidates: see `LearnedFleet.candidates`.
        points: how many samples were scored from the start of the window on.
        missing: signals about series without values.
        first_values: series id -> the time of its first value.
    """

    candidates: pl.DataFrame
    points: int
    missing: Sequence[Signal]
    first_values: Mapping[int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """Some services to score.

    Attributes:
        key: names the part and the run, also beside runs of other processes.
        model: the version that the cycle uses.
        stored: the series of the services as they are stored now.
        events: about the services, or about all, see `anomaly_signals`.
    """

    key: str
    model: ModelRef
    window: Window
    stored: Sequence[Series]
    series_ids: Sequence[int]
    events: Sequence[Event]
    ends: SeriesEnds


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsJob:
    """A part that has anomalies.

    Attributes:
        anomalies: `series_id` and `ts`.
        since: see `anomaly_signals`.
    """

    part: ScoreJob
    anomalies: pl.DataFrame
    since: datetime


class KeptRows:
    """The scored rows of some parts, the newest ones. Thread-safe.

    Args:
        most_bytes: of all of them together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rows: dict[str, pl.DataFrame] = {}
        self._lock = Lock()

    def put(self, key: str, rows: pl.DataFrame) -> None:
        with self._lock:
            self._rows[key] = rows
            while sum(one.estimated_size() for one in self._rows.values()) > self._most:
                del self._rows[next(iter(self._rows))]

    def take(self, key: str) -> pl.DataFrame | None:
        """The rows of a part, which are not kept any more."""
        with self._lock:
            return self._rows.pop(key, None)


_kept = KeptRows(KEPT_BYTES)


def score_part(platform: Platform, learned: DetectorBundle, job: ScoreJob) -> PartScores:
    """The first pass over the series of whole services."""
    window = job.window
    bundle = _bundle(learned, job)
    samples = platform.store.samples.read(window.context, window.end, job.series_ids)
    scored = bundle.undecided(samples, job.events)
    candidates = bundle.fleet.candidates(scored)
    if candidates.height:
        ids = bundle.fleet.same_services(candidates["series_id"])
        _kept.put(job.key, scored.filter(pl.col("series_id").is_in(ids)))
    return PartScores(
        candidates=candidates,
        points=scored.filter(pl.col("ts") >= window.start).height,
        missing=missing_signals(
            bundle.fleet, samples, job.model, start=window.start, end=window.end, ends=job.ends
        ),
        first_values=first_values(samples),
    )


def part_signals(platform: Platform, learned: DetectorBundle, job: SignalsJob) -> list[Signal]:
    """The second pass: one signal for each episode, see `anomaly_signals`."""
    part = job.part
    bundle = _bundle(learned, part)
    rows = _kept.take(part.key)
    if rows is None:
        ids = bundle.fleet.same_services(job.anomalies["series_id"])
        samples = platform.store.samples.read(part.window.context, part.window.end, ids)
        rows = bundle.undecided(samples, part.events)
    return anomaly_signals(
        bundle.fleet,
        marked(rows, job.anomalies),
        part.model,
        since=job.since,
        until=part.window.end,
        events=part.events,
    )


def score_job(job: tuple[WorkerPlatform, ScoreJob]) -> PartScores | None:
    """`score_part` in a worker; null if the newest version is another one by now."""
    worker, part = job
    with worker.opened() as platform:
        learned = load_version(platform, KIND, DetectorBundle.from_files, part.model)
        return None if learned is None else score_part(platform, learned, part)


def signals_job(job: tuple[WorkerPlatform, SignalsJob | None]) -> list[Signal] | None:
    """`part_signals` in a worker, of a part with anomalies; null if the newest version is another one by now."""
    worker, one = job
    if one is None:
        return []
    with worker.opened() as platform:
        learned = load_version(platform, KIND, DetectorBundle.from_files, one.part.model)
        return None if learned is None else part_signals(platform, learned, one)


def _bundle(learned: DetectorBundle, job: ScoreJob) -> DetectorBundle:
    return learned.part(job.series_ids).with_limits(job.stored)
