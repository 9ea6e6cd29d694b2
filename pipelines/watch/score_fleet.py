"""Score a fleet some services after the other, so that memory does not grow with the fleet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import polars as pl

from core.domain import Event, ModelRef, Signal
from models.detect.bundle import DetectorBundle
from models.signals.ends import SeriesEnds
from models.signals.missing import first_values, missing_signals
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform

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


def score_fleet(
    platform: Platform,
    bundle: DetectorBundle,
    model: ModelRef,
    window: Window,
    *,
    events: Sequence[Event],
    ends: SeriesEnds,
    progress: Progress,
) -> FleetScores:
    """Score all series of the bundle; the result is that of all of them at once."""
    kept: list[pl.DataFrame] = []
    missing: list[Signal] = []
    first: dict[int, datetime] = {}
    points = done = 0
    progress("detect anomalies", 0, len(bundle.models))
    for ids in _some_services(bundle):
        samples = platform.store.samples.read(window.context, window.end, ids)
        scored = bundle.undecided(samples, events)
        points += scored.filter(pl.col("ts") >= window.start).height
        kept.append(bundle.of_interest(scored))
        missing += missing_signals(bundle, samples, model, start=window.start, end=window.end, ends=ends)
        first |= first_values(samples)
        done += len(ids)
        progress("detect anomalies", done, len(bundle.models))
    rows = bundle.decided(pl.concat([bundle.no_rows(), *kept]))
    return FleetScores(rows=rows, points=points, missing=tuple(missing), first_values=first)


def _some_services(bundle: DetectorBundle) -> Iterator[list[int]]:
    """The series of whole services, because detectors and silences look at all series of a service."""
    models = sorted(bundle.models.items(), key=lambda one: (one[1].series.service, one[0]))
    ids: list[int] = []
    for _, members in groupby(models, key=lambda one: one[1].series.service):
        ids += [key for key, _ in members]
        if len(ids) >= SERIES_AT_ONCE:
            yield ids
            ids = []
    if ids:
        yield ids
