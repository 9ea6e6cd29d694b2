"""Forecast every series and say which will breach: forecasts and signals, stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.domain import ModelRef, Series, Signal, SignalKind
from core.errors import InsufficientDataError, ModelUnavailableError
from models.breach.backtest import find_breaches
from models.breach.outlook import BreachPattern, Outlook, breach_outlook
from models.forecast.bundle import ForecasterBundle, Prediction
from models.forecast.protocols import FloatArray
from models.series.thresholds import is_past, is_upward
from models.signals.breach import SeriesOutlook, judge, urgency
from pipelines.common.parallel import chunked
from pipelines.common.present import present
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import service_graph

if TYPE_CHECKING:
    from pipelines.wiring import Platform

NEWEST_SAMPLES = 3
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


def load_forecasters(platform: "Platform") -> tuple[ModelRef, ForecasterBundle]:
    """The champion, or the challenger while nothing has been promoted yet.

    Raises:
        ModelUnavailableError: nothing was trained yet.
    """
    try:
        model, files = platform.registry.load("forecaster")
    except ModelUnavailableError:
        model, files = platform.registry.load("forecaster", "challenger")
    return model, ForecasterBundle.from_files(files)


def forecast(
    platform: "Platform", *, at: datetime | None = None, progress: Progress = silent
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
    ids = sorted(bundle.entries)
    for part in chunked(ids, CHUNK):
        recent = read_recent(platform, bundle, part, now)
        by_series = {int(key[0]): one for key, one in recent.partition_by("series_id", as_dict=True).items()}
        for series_id in part:
            series = bundle.entries[series_id].series
            mine = by_series.get(series_id, recent.clear())
            try:
                prediction, outlook = look(bundle, series, mine, now)
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


def read_recent(
    platform: "Platform", bundle: ForecasterBundle, series_ids: Sequence[int], now: datetime
) -> pl.DataFrame:
    """The samples since the bundle was made, or since `now` if that was before; the two hours before give the newest
    level even when that is now."""
    since = min(now, *(bundle.entry(series_id).history.end for series_id in series_ids))
    return platform.store.samples.read(since - 2 * HOUR, now, series_ids)


def look(
    bundle: ForecasterBundle, series: Series, recent: pl.DataFrame, now: datetime
) -> tuple[Prediction, Outlook | None]:
    """The forecast of one series and what it holds against its threshold; the same for the same moment.

    Args:
        recent: what `read_recent` gave; other series are ignored.
    Raises:
        InsufficientDataError: fewer than two values are there.
    """
    series_id = series.series_id
    recent = recent.filter(pl.col("series_id") == series_id)
    history = bundle.present(bundle.entry(series_id), recent, now)
    prediction = bundle.predict(series_id, history)
    newest = history.values[np.isfinite(history.values)][-1]
    known = recent.filter(pl.col("ts") < now, pl.col("value").is_finite())
    seconds, values = (
        known.get_column("ts").dt.epoch("us").to_numpy() / 1e6,
        known.get_column("value").to_numpy(),
    )
    level = _level(seconds, values, now, float(newest))
    before = _level(seconds, values, now - HOUR, level)
    rng = np.random.default_rng([bundle.seed, series_id % 2**32, int(now.timestamp()), 1])
    impact_level = bundle.cascades.impact_level(series)
    outlook = breach_outlook(
        series,
        history,
        bundle.paths(prediction),
        level=level,
        an_hour_ago=before,
        rng=rng,
        at=now,
        impact_level=impact_level,
    )
    if outlook is None or impact_level is None:
        return prediction, None
    impact_since = _since(seconds, values, impact_level, level, upward=is_upward(series))
    felt = outlook.felt
    if impact_since is None:
        # What is over its threshold and not yet where it is felt goes on filling.
        onwards = BreachPattern.FILL if outlook.pattern is BreachPattern.OVER else outlook.pattern
        felt = bundle.hindsight.correct(felt, series, onwards, now)
    breach = bundle.hindsight.correct(outlook.breach, series, outlook.pattern, now)
    return prediction, replace(outlook, breach=breach, felt=felt, impact_since=impact_since)


def _since(
    seconds: FloatArray, values: FloatArray, edge: float, level: float, *, upward: bool
) -> datetime | None:
    """When a series came to where it is, at `edge` or on its bad side; null where it is on the good side."""
    if not is_past(np.array([level]), edge, upward=upward)[0]:
        return None
    smooth = pl.Series(values).rolling_median(NEWEST_SAMPLES, min_samples=1).to_numpy()
    came = find_breaches(seconds, smooth, edge, upward=upward)
    # Over from the first value on: since then at the latest.
    first = came[-1] if len(came) else seconds[0] if len(seconds) else 0.0
    return datetime.fromtimestamp(float(first), UTC)


def _level(seconds: FloatArray, values: FloatArray, at: datetime, otherwise: float) -> float:
    """The median of the last samples of the hour before `at`: one bad sample is not a breach."""
    first, last = np.searchsorted(seconds, [(at - HOUR).timestamp(), at.timestamp()])
    return float(np.median(values[first:last][-NEWEST_SAMPLES:])) if first < last else otherwise
