"""Forecast every series, predict breaches, and store the forecasts and the signals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.domain import ModelRef, Signal, SignalKind
from core.durations import DAY
from models.signals.breach import BreachContext, SeriesOutlook, breach_signals, urgency
from models.signals.ends import closed
from pipelines.common.current_time import current_time
from pipelines.common.forecasters import load_forecasters, measured_resizes
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.series_ends import ended_series, read_ends
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.watch.forecast_chunk import Fleet


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
    stored = platform.store.series.find()
    model, learned = load_forecasters(platform, stored)
    now = current_time(platform, at)
    resizes = measured_resizes(platform, learned, now)
    fleet = Fleet(
        platform=platform, model=model, bundle=learned.with_resizes(resizes), stored=stored, resizes=resizes
    )
    open_signals = {
        signal.series_id: signal
        for signal in platform.store.signals.find(kind=SignalKind.BREACH, since=now)
        if signal.ended_at is None and signal.series_id is not None
    }
    # An open signal that began later, before the clock went back, stays as it is.
    begun = {key: one for key, one in open_signals.items() if one.started_at <= now}
    forecasts: list[pl.DataFrame] = []
    outlooks: dict[int, SeriesOutlook] = {}
    skipped: dict[str, str] = {}
    series = 0
    ended = ended_series(platform.store, read_ends(platform.store, now), now)
    for part in fleet.forecast(now, ended):
        series += part.series
        forecasts.append(part.forecasts)
        outlooks |= part.outlooks
        skipped |= part.skipped
        progress("forecasts", series, len(learned.forecasters.entries))
    outlooks = {key: one for key, one in outlooks.items() if key in begun or key not in open_signals}
    if series:
        platform.store.forecasts.publish(pl.concat(forecasts), made_at=now, model=model)
    edges = graph_of(platform, stored)
    events = platform.store.events.between(now - DAY, now + DAY)
    context = BreachContext(now=now, cascades=learned.cascades, edges=edges, events=events)
    signals = [*breach_signals(outlooks, begun, model, context), *closed(list(begun.values()), ended)]
    platform.store.signals.upsert(signals)
    still_open = [one for one in signals if one.ended_at is None]
    passed = sorted((one for one in still_open if one.suppressed_by is None), key=urgency)
    return ForecastReport(
        model=model,
        at=now,
        series=series,
        signals=tuple(passed),
        withdrawn=tuple(one for one in signals if one.ended_at is not None),
        watched=len(still_open) - len(passed),
        skipped=skipped,
    )
