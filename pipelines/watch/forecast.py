"""Forecast every series, predict breaches, and store the forecasts and the signals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.domain import ModelRef, Signal, SignalKind
from core.durations import DAY
from core.errors import InsufficientDataError
from models.forecast.bundle import Prediction, forecast_frame
from models.signals.breach import BreachContext, SeriesOutlook, breach_signals, urgency
from models.signals.ends import closed
from pipelines.common.current_time import current_time
from pipelines.common.forecasters import in_present_sizes, load_forecasters, read_recent
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.series_ends import ended_series, read_ends
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import chunked

#: Series whose samples are read and forecast at once.
CHUNK = 200


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
    model, bundle = load_forecasters(platform)
    now = current_time(platform, at)
    bundle = in_present_sizes(platform, bundle, now)
    open_signals = {
        signal.series_id: signal
        for signal in platform.store.signals.find(kind=SignalKind.BREACH, since=now)
        if signal.ended_at is None and signal.series_id is not None
    }
    predictions: list[Prediction] = []
    outlooks: dict[int, SeriesOutlook] = {}
    skipped: dict[str, str] = {}
    ids = sorted(bundle.forecasters.entries)
    ended = ended_series(platform.store, read_ends(platform.store, now), now)
    for part in chunked(ids, CHUNK):
        recent = read_recent(platform, bundle, part, now)
        for series_id in part:
            series = bundle.forecasters.entries[series_id].series
            if series_id in ended:
                skipped[series.name] = f"its sender ended it at {ended[series_id]:%Y-%m-%d %H:%M} UTC"
                continue
            try:
                prediction, outlook = bundle.outlook(series_id, recent[series_id], now)
            except InsufficientDataError as error:
                skipped[series.name] = str(error)
                continue
            predictions.append(prediction)
            # An open signal that began later, before the clock went back, stays as it is.
            known = open_signals.get(series_id)
            if outlook is not None and (known is None or known.started_at <= now):
                outlooks[series_id] = SeriesOutlook.of(series, outlook, prediction)
        progress("forecasts", len(predictions), len(ids))
    if predictions:
        platform.store.forecasts.publish(forecast_frame(predictions), made_at=now, model=model)
    edges = graph_of(platform, platform.store.series.find())
    events = platform.store.events.between(now - DAY, now + DAY)
    context = BreachContext(now=now, cascades=bundle.cascades, edges=edges, events=events)
    begun = {key: one for key, one in open_signals.items() if one.started_at <= now}
    signals = [*breach_signals(outlooks, begun, model, context), *closed(list(begun.values()), ended)]
    platform.store.signals.upsert(signals)
    still_open = [one for one in signals if one.ended_at is None]
    passed = sorted((one for one in still_open if one.suppressed_by is None), key=urgency)
    return ForecastReport(
        model=model,
        at=now,
        series=len(predictions),
        signals=tuple(passed),
        withdrawn=tuple(one for one in signals if one.ended_at is not None),
        watched=len(still_open) - len(passed),
        skipped=skipped,
    )
