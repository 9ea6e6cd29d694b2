"""Score new samples with the champion detector, and turn anomalies and missing series into signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from core.domain import Event, EventKind, ModelRef, Signal, SignalKind
from models.detect.bundle import DetectorBundle
from models.detect.episodes import stays_open_s
from models.detect.files import META, read_fleet
from models.detect.learned_fleet import LearnedFleet
from models.signals.anomaly import RESIZE_EXPLAINS
from models.signals.ends import SeriesEnds, closed, no_longer_found
from models.signals.missing import ended_silences
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.scoring_cursor import SCORED_UNTIL
from pipelines.common.series_ends import ended_series, read_ends
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_detectors import KIND
from pipelines.processes.worker_platform import WorkerPlatform, until_unchanged
from pipelines.watch.score_fleet import FleetScores, FleetScoring
from pipelines.watch.score_part import Window

#: Samples before the window that are read too: levels and averages need them, and so does the start of an anomaly that
#: has lasted for a while.
CONTEXT = timedelta(hours=24)
#: A new signal so close to a known one of the same series continues that one.
SAME_WITHIN = timedelta(minutes=30)
#: The first run scores this window. Each later run starts where the last one ended.
FIRST_WINDOW = timedelta(hours=24)
#: A signal lists the events of its service from so long before its start.
NEARBY = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectReport:
    """What one run found.

    Attributes:
        points: how many samples were scored.
        anomalies: how many of them are anomalies.
        signals: signals in the window.
        new: signals that were not known before.
        suppressed: signals that a filter suppressed.
        missing: signals about series that stopped sending samples.
    """

    start: datetime
    end: datetime
    points: int
    anomalies: int
    signals: int
    new: int
    suppressed: int
    missing: int
    model: ModelRef


@one_at_a_time("detect")
def detect(
    platform: Platform,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress = silent,
) -> DetectReport:
    """Score the samples of [start, end) and store the signals. A second run over the same window changes nothing.

    Args:
        start: null: the end of the last run; on the first run, a day before `end`.
        end: null: now.
    Raises:
        ModelUnavailableError: no detector model is active.
    """
    end = end or platform.clock.now()
    # After the clock went back, the last run ended later than this one. What came since then is scored again.
    start = start or min(_last_end(platform) or end - FIRST_WINDOW, end)
    events = platform.store.events.between(start - CONTEXT - NEARBY, end)
    ends = read_ends(platform.store, start - CONTEXT)
    window = Window(context=start - CONTEXT, start=start, end=end)
    ref, fleet, scores = _scored(platform, window, events, ends, progress)
    known = platform.store.signals.find(since=start - 2 * CONTEXT)
    signals = [
        replace(
            one,
            nearby_events=tuple(
                event for event in events
                if event.service in (one.service, "*") and one.started_at - NEARBY <= event.at <=
                (one.ended_at or end)
            ),
        )
        for one in continue_known([*scores.signals, *scores.missing], known)
    ]  # fmt: skip
    # The samples before `end` cannot show whether a silence that began later is over.
    begun = [one for one in known if one.started_at <= end]
    open_ids = {one.signal_id for one in begun if one.ended_at is None}
    signals = [
        one for one in signals if one.signal_id in open_ids or one.ended_at is None or one.ended_at >= start
    ]
    ended = ended_series(platform.store, ends, end)
    signals += ended_silences(begun, signals, fleet, scores.first_values, ended)
    signals = _with_ended(signals, begun, ended)
    if start < end:
        signals += no_longer_found(begun, signals, at=start)
    with platform.store.atomically():
        new, _ = platform.store.signals.upsert(signals)
        platform.store.cursors.set(SCORED_UNTIL, end.isoformat())
    return DetectReport(
        start=start,
        end=end,
        points=scores.points,
        anomalies=scores.anomalies.filter(pl.col("ts") >= start).height,
        signals=len(signals),
        new=new,
        suppressed=sum(one.suppressed_by is not None for one in signals),
        missing=len(scores.missing),
        model=ref,
    )


def _scored(
    platform: Platform, window: Window, events: Sequence[Event], ends: SeriesEnds, progress: Progress
) -> tuple[ModelRef, LearnedFleet, FleetScores]:
    """The newest version, its series with the limits of now, and their scores."""
    stored = platform.store.series.find()
    worker = WorkerPlatform.of(platform, len(stored), window.end)
    earlier = platform.store.events.between(window.start - RESIZE_EXPLAINS, window.context - NEARBY)
    resizes = [event for event in earlier if event.kind is EventKind.CONFIG_CHANGE]

    def scored() -> tuple[ModelRef, LearnedFleet, FleetScores]:
        ref, learned, scorer = _newest(platform, worker)
        fleet = learned.with_limits(stored)
        scoring = FleetScoring(
            platform=platform,
            model=ref,
            fleet=fleet,
            stored=stored,
            window=window,
            # An episode of before `start` may have been open until then. A run that was killed after this step comes
            # again for the same time, and changes nothing.
            since=window.start - _stays_open(fleet) if window.start < window.end else window.start,
            events=[*resizes, *events],
            ends=ends,
            scorer=scorer,
        )
        return ref, fleet, scoring.scores(progress)

    return until_unchanged(scored)


def _newest(
    platform: Platform, worker: WorkerPlatform | None
) -> tuple[ModelRef, LearnedFleet, WorkerPlatform | DetectorBundle]:
    """The champion, its fleet, and what scores: where workers do, this process does not need the detectors."""
    if worker is not None:
        ref, fleet = platform.models.get(KIND, read_fleet, names=(META,))
        if fleet is not None:
            return ref, fleet, worker
    ref, bundle = platform.models.get(KIND, DetectorBundle.from_files)
    return ref, bundle.fleet, bundle if worker is None else worker


def _stays_open(fleet: LearnedFleet) -> timedelta:
    """For how long an episode of any series may continue after its last value."""
    return timedelta(
        seconds=max((stays_open_s(one.series.step_s) for one in fleet.series.values()), default=0)
    )


def _with_ended(
    signals: Sequence[Signal], known: Sequence[Signal], ended: Mapping[int, datetime]
) -> list[Signal]:
    """The signals, and known ones besides them that are over because the sender ended their series.

    Predicted breaches are closed where breaches are predicted.
    """
    ids = {one.signal_id for one in signals}
    about_now = (SignalKind.ANOMALY, SignalKind.MISSING)
    others = [one for one in known if one.kind in about_now and one.signal_id not in ids]
    over = {one.signal_id: one for one in closed([*signals, *others], ended)}
    return [over.pop(one.signal_id, one) for one in signals] + list(over.values())


def _last_end(platform: Platform) -> datetime | None:
    stored = platform.store.cursors.get(SCORED_UNTIL)
    return None if stored is None else datetime.fromisoformat(stored)


def continue_known(found: Sequence[Signal], known: Sequence[Signal]) -> list[Signal]:
    """The signals found, each with the id and the start of the known signal that it continues, if there is one.

    A signal about one missing series and a signal about several missing series of its service continue each other.
    """
    by_service: dict[tuple[SignalKind, str], list[Signal]] = {}
    for one in known:
        by_service.setdefault((one.kind, one.service), []).append(one)
    merged: dict[str, Signal] = {}
    for one in found:
        last = one.ended_at or one.started_at
        for other in by_service.get((one.kind, one.service), ()):
            other_last = other.ended_at or other.peak_at or other.started_at
            if (
                _same_subject(one, other)
                and one.started_at <= other_last + SAME_WITHIN
                and other.started_at <= last + SAME_WITHIN
            ):
                # What was suppressed before was not yet what people would call it.
                is_new = other.suppressed_by is not None and one.suppressed_by is None
                started_at = one.started_at if is_new else min(one.started_at, other.started_at)
                one = replace(one, signal_id=other.signal_id, started_at=started_at)
                break
        merged[one.signal_id] = one
    return list(merged.values())


def _same_subject(one: Signal, other: Signal) -> bool:
    if one.kind is SignalKind.MISSING and None in (one.series_id, other.series_id):
        return True
    return one.series_id == other.series_id
