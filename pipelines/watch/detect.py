"""Score new samples with the champion and turn what stands out into signals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from core.domain import ModelRef, Signal, SignalKind
from models.detect.bundle import DetectorBundle
from models.signals.anomaly import anomaly_signals
from models.signals.missing import ended_silences, missing_signals
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_detectors import KIND

#: Read before the window so that levels and averages stand where they should, and episodes keep their start.
CONTEXT = timedelta(hours=24)
#: Signals that start so close to a known one of the same series are that one.
SAME_WITHIN = timedelta(minutes=30)
#: How far back the first run looks, and where later ones keep how far they are.
FIRST_WINDOW = timedelta(hours=24)
CURSOR = "score"
#: Deploys and config changes so long before a signal are named in it.
NEARBY = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreReport:
    """What one run of scoring did.

    Attributes:
        points: samples scored; anomalies: those called so.
        signals: findings in the window; new: those not known before; stopped: those that a filter suppressed.
        missing: findings of series, or of several of a service at once, that fell silent.
    """

    start: datetime
    end: datetime
    points: int
    anomalies: int
    signals: int
    new: int
    stopped: int
    missing: int
    model: ModelRef


def score(
    platform: Platform,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress = silent,
) -> ScoreReport:
    """Score [start, end) and store what is found; scoring a window again changes nothing.

    Args:
        start: null: where the last run ended, or a day back on the first.
        end: null: now.
    Raises:
        ModelUnavailableError: no champion is registered.
    """
    end = end or platform.clock.now()
    start = start or _last_end(platform) or end - FIRST_WINDOW
    ref, files = platform.registry.load(KIND)
    bundle = DetectorBundle.from_files(files)
    progress("score", 0, 2)
    samples = platform.store.samples.read(start - CONTEXT, end)
    events = platform.store.events.between(start - CONTEXT - NEARBY, end)
    scored = bundle.score(samples, events)
    progress("score", 1, 2)
    found = anomaly_signals(bundle, scored, ref, since=start, events=events)
    silent_series = missing_signals(bundle, samples, ref, start=start, end=end)
    known = platform.store.signals.find(since=start - 2 * CONTEXT, limit=100_000)
    signals = [
        replace(
            one,
            nearby_events=tuple(
                event for event in events
                if event.service in (one.service, "*") and one.started_at - NEARBY <= event.at <=
                (one.ended_at or end)
            ),
        )
        for one in same_as_known([*found, *silent_series], known)
    ]  # fmt: skip
    signals += ended_silences(known, signals, bundle, samples)
    with platform.store.atomically():
        new, _ = platform.store.signals.upsert(signals)
        platform.store.cursors.set(CURSOR, end.isoformat())
    progress("score", 2, 2)
    inside = scored.filter(pl.col("ts") >= start)
    return ScoreReport(
        start=start,
        end=end,
        points=inside.height,
        anomalies=int(inside["is_anomaly"].sum()),
        signals=len(signals),
        new=new,
        stopped=sum(one.suppressed_by is not None for one in signals),
        missing=len(silent_series),
        model=ref,
    )


def _last_end(platform: Platform) -> datetime | None:
    kept = platform.store.cursors.get(CURSOR)
    return None if kept is None else datetime.fromisoformat(kept)


def same_as_known(found: Sequence[Signal], known: Sequence[Signal]) -> list[Signal]:
    """Findings under the id and start of the known signal that they go on with, if there is one.

    A silence is the same whether one series of the service is known to be silent so far, or several.
    """
    kept: dict[tuple[SignalKind, str], list[Signal]] = {}
    for one in known:
        kept.setdefault((one.kind, one.service), []).append(one)
    merged: dict[str, Signal] = {}
    for one in found:
        last = one.ended_at or one.started_at
        for other in kept.get((one.kind, one.service), ()):
            other_last = other.ended_at or other.peak_at or other.started_at
            if (
                _same_subject(one, other)
                and one.started_at <= other_last + SAME_WITHIN
                and other.started_at <= last + SAME_WITHIN
            ):
                one = replace(
                    one, signal_id=other.signal_id, started_at=min(one.started_at, other.started_at)
                )
                break
        merged[one.signal_id] = one
    return list(merged.values())


def _same_subject(one: Signal, other: Signal) -> bool:
    if one.kind is SignalKind.MISSING and None in (one.series_id, other.series_id):
        return True
    return one.series_id == other.series_id
