"""Forecast every series, predict breaches, and store the forecasts and the signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.domain import ModelRef, Series, Signal, SignalKind
from core.durations import DAY
from models.breach.bundle import BreachBundle
from models.breach.fleet import BREACHES, ForecastFleet, read_fleet
from models.forecast.files import META
from models.signals.breach import BreachContext, SeriesOutlook, breach_signals, urgency
from models.signals.ends import closed
from pipelines.common.current_time import current_time
from pipelines.common.forecasters import KIND, resize_events
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.series_ends import ended_series, read_ends
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.processes.worker_platform import WorkerPlatform, until_unchanged
from pipelines.watch.forecast_chunk import FleetForecasting


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastReport:
    """What one run predicted.

    Attributes:
        series: how many series have a forecast now.
        signals: open breach signals that no filter suppressed, the most urgent first.
        withdrawn: signals that ended in this run.
        watched: how many open signals a filter suppressed, because the breach is possible but not likely.
        skipped: name of the series -> why it has no forecast.
    """

    model: ModelRef
    at: datetime
    series: int
    signals: tuple[Signal, ...]
    withdrawn: tuple[Signal, ...]
    watched: int
    skipped: Mapping[str, str]


@one_at_a_time("forecast")
def forecast(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> ForecastReport:
    """Forecast all series of the bundle from their newest samples, and update the breach signals.

    Args:
        at: the present; samples at or after it are not read.
    Raises:
        ModelUnavailableError: no forecaster has been trained yet.
    """
    now = current_time(platform, at)
    stored = platform.store.series.find()
    ended = ended_series(platform.store, read_ends(platform.store, now), now)
    found = _forecast(platform, stored, ended, now, progress)
    model, fleet = found.model, found.fleet
    open_signals = {
        signal.series_id: signal
        for signal in platform.store.signals.find(kind=SignalKind.BREACH, since=now)
        if signal.ended_at is None and signal.series_id is not None
    }
    # An open signal that began later, before the clock went back, stays as it is.
    begun = {key: one for key, one in open_signals.items() if one.started_at <= now}
    outlooks = {key: one for key, one in found.outlooks.items() if key in begun or key not in open_signals}
    edges = graph_of(platform, stored)
    events = platform.store.events.between(now - DAY, now + DAY)
    context = BreachContext(now=now, cascades=fleet.cascades, edges=edges, events=events)
    signals = [*breach_signals(outlooks, begun, model, context), *closed(list(begun.values()), ended)]
    platform.store.signals.upsert(signals)
    still_open = [one for one in signals if one.ended_at is None]
    passed = sorted((one for one in still_open if one.suppressed_by is None), key=urgency)
    return ForecastReport(
        model=model,
        at=now,
        series=found.series,
        signals=tuple(passed),
        withdrawn=tuple(one for one in signals if one.ended_at is not None),
        watched=len(still_open) - len(passed),
        skipped=found.skipped,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FleetForecast:
    """What was predicted with the newest version; see `ChunkForecast`. The forecasts are stored already."""

    model: ModelRef
    fleet: ForecastFleet
    series: int
    outlooks: Mapping[int, SeriesOutlook]
    skipped: Mapping[str, str]


def _forecast(
    platform: Platform,
    stored: Sequence[Series],
    ended: Mapping[int, datetime],
    now: datetime,
    progress: Progress,
) -> _FleetForecast:
    """Forecast all series with the newest version, and store the forecasts."""
    worker = WorkerPlatform.of(platform, len(stored), now)
    resizes = resize_events(platform, now)

    def forecast_all() -> _FleetForecast:
        model, fleet, forecaster = _newest(platform, worker)
        forecasting = FleetForecasting(
            platform=platform,
            model=model,
            fleet=fleet,
            stored=stored,
            resizes=resizes,
            ended=ended,
            forecaster=forecaster,
        )
        series = 0
        outlooks: dict[int, SeriesOutlook] = {}
        skipped: dict[str, str] = {}
        for chunk in forecasting.chunks(now, progress):
            # At once, because the forecasts of a large fleet need much memory. Each stands for itself: those of a
            # version that is replaced meanwhile are replaced, too.
            if chunk.series:
                platform.store.forecasts.publish(chunk.forecasts, made_at=now, model=model)
            series += chunk.series
            outlooks |= chunk.outlooks
            skipped |= chunk.skipped
        return _FleetForecast(model=model, fleet=fleet, series=series, outlooks=outlooks, skipped=skipped)

    return until_unchanged(forecast_all)


def _newest(
    platform: Platform, worker: WorkerPlatform | None
) -> tuple[ModelRef, ForecastFleet, WorkerPlatform | BreachBundle]:
    """The newest version, its fleet, and what forecasts: where workers do, this process needs no forecasters."""
    if worker is not None:
        model, fleet = platform.models.get_newest(KIND, read_fleet, (META, BREACHES))
        if fleet is not None:
            return model, fleet, worker
    model, bundle = platform.models.get_newest(KIND, BreachBundle.from_files)
    return model, bundle.fleet, bundle if worker is None else worker
