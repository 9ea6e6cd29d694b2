"""Forecast every series and say which will breach: forecasts and signals, stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.domain import ModelRef, Signal, SignalKind
from core.errors import InsufficientDataError
from models.signals.breach import SeriesOutlook, judge, urgency
from pipelines.common.forecasters import load_forecasters, read_recent
from pipelines.common.parallel import chunked
from pipelines.common.present import present
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import service_graph
from pipelines.common.tenant_platform import Platform

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastReport:
    """What a run found.

    Attributes:
        series: how many have a forecast now.
        signals: open breaches, most urgent first; those taken back are in `taken_back`.
        watched: kept and not sent, for a breach is possible but not likely.
        skipped: name of the series -> why it has no forecast.
    """

    model: ModelRef
    at: datetime
    series: int
    signals: tuple[Signal, ...]
    taken_back: tuple[Signal, ...]
    watched: int
    skipped: Mapping[str, str]


def forecast(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> ForecastReport:
    """Forecast all series of the bundle from their newest samples, store it, and judge the thresholds.

    Args:
        at: the present; nothing at or after it is read.
    Raises:
        ModelUnavailableError: nothing was trained yet.
    """
    model, bundle = load_forecasters(platform)
    now = present(platform, at)
    open_signals = {
        signal.series_id: signal
        for signal in platform.store.signals.find(kind=SignalKind.BREACH, limit=100_000)
        if signal.ended_at is None and signal.series_id is not None
    }
    frames: list[pl.DataFrame] = []
    seen: dict[int, SeriesOutlook] = {}
    skipped: dict[str, str] = {}
    ids = sorted(bundle.forecasters.entries)
    for part in chunked(ids, CHUNK):
        recent = read_recent(platform, bundle, part, now)
        by_series = {int(key[0]): one for key, one in recent.partition_by("series_id", as_dict=True).items()}
        for series_id in part:
            series = bundle.forecasters.entries[series_id].series
            mine = by_series.get(series_id, recent.clear())
            try:
                prediction, outlook = bundle.outlook(series_id, mine, now)
            except InsufficientDataError as error:
                skipped[series.name] = str(error)
                continue
            frames.append(prediction.frame())
            if outlook is not None:
                seen[series_id] = SeriesOutlook.of(series, outlook, prediction)
        progress("forecasts", len(frames), len(ids))
    if frames:
        platform.store.forecasts.publish(pl.concat(frames), made_at=now, model=model)
    edges = service_graph(platform.settings.service_graph, platform.store.series.find())
    events = platform.store.events.between(now - DAY, now + DAY)
    judged = judge(seen, bundle.cascades, edges, open_signals, model, now, events)
    platform.store.signals.upsert(judged)
    found = [one for one in judged if one.ended_at is None]
    sent = sorted((one for one in found if one.suppressed_by is None), key=urgency)
    return ForecastReport(
        model=model,
        at=now,
        series=len(frames),
        signals=tuple(sent),
        taken_back=tuple(one for one in judged if one.ended_at is not None),
        watched=len(found) - len(sent),
        skipped=skipped,
    )
