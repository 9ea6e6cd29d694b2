"""Forecast every series and say which will breach: forecasts and signals, stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.domain import (
    Band,
    Breach,
    Factor,
    GateResult,
    ModelRef,
    Series,
    Severity,
    Signal,
    SignalKind,
    stable_id,
)
from core.errors import InsufficientDataError, ModelUnavailableError
from core.wording import format_value
from models.breach_text import say, say_over, say_taken_back, usual_pace
from models.forecasters.bundle import ForecasterBundle, Prediction
from models.outlook import Case, Outlook, look_ahead
from models.thresholds import is_upward
from pipelines.parallel import chunked
from pipelines.present import present
from pipelines.progress import Progress, silent

if TYPE_CHECKING:
    from pipelines.wiring import Platform

#: An alert begins at the first probability and ends below the second: in between it stays as it is.
RAISE_AT, DROP_BELOW = 0.5, 0.25
#: Sooner than this, somebody should be woken.
CRITICAL_WITHIN = timedelta(hours=4)
NEWEST_SAMPLES = 3
HOUR = timedelta(hours=1)
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
        if signal.ended_at is None
    }
    frames: list[pl.DataFrame] = []
    found: list[Signal] = []
    closed: list[Signal] = []
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
            before = open_signals.get(series_id)
            signal = _judge(series, outlook, prediction, before, model, now)
            if signal is not None:
                (closed if signal.ended_at else found).append(signal)
        progress("forecasts", len(frames), len(ids))
    if frames:
        platform.store.forecasts.publish(pl.concat(frames), made_at=now, model=model)
    platform.store.signals.upsert([*found, *closed])
    sent = sorted((one for one in found if one.stopped_by is None), key=_urgency)
    return ForecastReport(
        model=model,
        at=now,
        series=len(frames),
        signals=tuple(sent),
        taken_back=tuple(closed),
        watched=len(found) - len(sent),
        skipped=skipped,
    )


def read_recent(
    platform: "Platform", bundle: ForecasterBundle, series_ids: Sequence[int], now: datetime
) -> pl.DataFrame:
    """The samples since the bundle was made; the two hours before give the newest level even when that is now."""
    since = min(bundle.entry(series_id).history.end for series_id in series_ids)
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
    prediction = bundle.forecast(series_id, recent, at=now)
    known = history.values[np.isfinite(history.values)]
    level = _level(recent, now, float(known[-1]))
    before = _level(recent.filter(pl.col("ts") < now - HOUR), now - HOUR, level)
    rng = np.random.default_rng([bundle.seed, series_id % 2**32, int(now.timestamp()), 1])
    outlook = look_ahead(series, history, bundle.paths(prediction), level=level, an_hour_ago=before, rng=rng)
    if outlook is None:
        return prediction, None
    breach = bundle.timing.correct(outlook.breach, series, outlook.case, now)
    return prediction, replace(outlook, breach=breach)


def _level(samples: pl.DataFrame, at: datetime, otherwise: float) -> float:
    """The median of the last samples of the hour before `at`: one bad sample is not a breach."""
    values = samples.filter(pl.col("ts") >= at - HOUR).get_column("value").drop_nulls().drop_nans()
    return float(np.median(values.tail(NEWEST_SAMPLES).to_numpy())) if len(values) else otherwise


def _judge(
    series: Series,
    outlook: Outlook | None,
    prediction: Prediction,
    before: Signal | None,
    model: ModelRef,
    now: datetime,
) -> Signal | None:
    """The signal that follows: a new one, the open one going on, the open one taken back, or none."""
    if outlook is None:
        return None
    probability = 1.0 if outlook.case is Case.OVER else outlook.breach.probability
    was_sent = before is not None and before.stopped_by is None
    if probability < DROP_BELOW:
        if before is None:
            return None
        return replace(before, ended_at=now, summary=say_taken_back(series, outlook.breach.horizon_s))
    likely = probability >= RAISE_AT or was_sent
    started_at = before.started_at if before is not None else now
    upward = is_upward(series)
    over = outlook.case is Case.OVER
    breach = outlook.breach
    summary = (
        say_over(series, outlook.level, upward=upward)
        if over
        else say(series, breach, outlook.growth, at=now, upward=upward)
    )
    return Signal(
        signal_id=before.signal_id
        if before is not None
        else stable_id(series.tenant, "breach", str(series.series_id), started_at.isoformat()),
        tenant=series.tenant,
        kind=SignalKind.BREACH,
        service=series.service,
        metric=series.metric,
        series_id=series.series_id,
        labels=series.labels,
        unit=series.unit,
        started_at=started_at,
        peak_at=None if breach.when is None else breach.when.p50,
        summary=summary,
        severity=_severity(over, breach, now),
        value=outlook.level,
        band=_band(prediction),
        score=probability,
        gates=(
            GateResult(
                gate="likely",
                passed=likely,
                reason=f"the probability is {probability:.0%}; an alert begins at {RAISE_AT:.0%} "
                f"and ends below {DROP_BELOW:.0%}",
            ),
        ),
        breach=breach,
        factors=_factors(outlook, upward, series.unit),
        model=model,
    )


def _band(prediction: Prediction) -> Band:
    """What is expected at the next step."""
    return Band(
        expected=float(prediction.yhat[0]),
        lower=float(min(prediction.lower[0.95][0], prediction.yhat[0])),
        upper=float(max(prediction.upper[0.95][0], prediction.yhat[0])),
    )


def _severity(over: bool, breach: Breach, now: datetime) -> Severity:
    if over or (breach.when is not None and breach.when.p50 - now <= CRITICAL_WITHIN):
        return Severity.CRITICAL
    return Severity.WARNING


def _factors(outlook: Outlook, upward: bool, unit: str) -> tuple[Factor, ...]:
    growth = outlook.growth
    if growth.weight == 0 or (growth.per_hour > 0) != upward:
        return ()
    hours = growth.span_s // 3_600
    verb = "grew" if growth.per_hour > 0 else "fell"
    return (
        Factor(
            name=f"growth_{hours}h",
            value=growth.per_hour,
            contribution=growth.weight,
            text=f"{verb} {format_value(abs(growth.per_hour), unit)}/h over {hours} h; "
            f"usual: {usual_pace(growth, unit)}",
        ),
    )


def _urgency(signal: Signal) -> tuple[float, str]:
    when = signal.breach.when if signal.breach else None
    return (when.p50.timestamp() if when else 0.0, signal.signal_id)


def most_urgent(signals: Sequence[Signal], count: int) -> tuple[Signal, ...]:
    """The first `count` by the middle of their time to breach."""
    return tuple(sorted(signals, key=_urgency)[:count])
