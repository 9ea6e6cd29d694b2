"""From scored values to signals: one for each episode, and one for each series that fell silent."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from core.domain import (
    Band,
    Event,
    EventKind,
    Factor,
    FilterResult,
    ModelRef,
    Role,
    Series,
    Severity,
    Shape,
    Signal,
    SignalKind,
    stable_id,
)
from core.formatting import format_duration, format_value
from models.detect.bundle import DetectorBundle
from models.detect.episodes import Episode, find_episodes
from models.detect.filters import crosses
from models.detect.series_model import COMBINED, SeriesModel, detector_results
from models.series.maintenance import is_planned

#: What begins so soon after a deploy is its own disturbance, and counts as brief for so long.
JUST_DEPLOYED = timedelta(minutes=30)
AFTER_DEPLOY = timedelta(hours=1)
#: Traffic so far above what is expected explains that other metrics rise, as long as they hold.
BUSY_SIGMA = 4.0

#: A finding names so many metrics at most, and none with a smaller share than this.
MOST_FACTORS, LEAST_SHARE = 5, 0.05

SHAPE_WORDS = {
    Shape.POINT_SPIKE: "spike",
    Shape.LEVEL_SHIFT: "shift of level",
    Shape.SLOW_DRIFT: "slow drift",
    Shape.VARIANCE_CHANGE: "change of spread",
    Shape.STUCK: "stuck value",
    Shape.MISSING: "missing",
}


def anomaly_signals(
    bundle: DetectorBundle,
    scored: pl.DataFrame,
    model: ModelRef | None,
    *,
    since: datetime,
    events: Sequence[Event] = (),
) -> list[Signal]:
    """One signal for each episode that lasts beyond `since`, whether or not its filters hold.

    Args:
        scored: what `DetectorBundle.score` returned.
        events: maintenance windows among them explain what happens in them.
    """
    signals: list[Signal] = []
    service_of = {key: one.series.service for key, one in bundle.models.items()}
    by_service = {
        str(service): frame
        for (service,), frame in scored.with_columns(
            service=pl.col("series_id").replace_strict(service_of, return_dtype=pl.String)
        ).group_by("service")
    }
    for (key,), mine in scored.group_by("series_id", maintain_order=True):
        one = bundle.models[int(key)]
        anomalous = mine["is_anomaly"].to_numpy()
        if not anomalous.any():
            continue
        times_s = mine["ts"].dt.epoch("s").to_numpy()
        episodes = find_episodes(
            times_s,
            mine["surprise"].to_numpy(),
            anomalous,
            mine["deviation_sigma"].to_numpy(),
            one.series.step_s,
        )
        signals += [
            _signal(bundle, one, mine, by_service[one.series.service], episode, model, events)
            for episode in episodes
            if times_s[episode.last] >= since.timestamp()
        ]
    return sorted(signals, key=lambda signal: (signal.started_at, signal.signal_id))


def factors_at(bundle: DetectorBundle, scored: pl.DataFrame, ts: datetime) -> tuple[Factor, ...]:
    """Which metrics of a service the deviation at one moment lies in, the most deviating first.

    Args:
        scored: of one service, as `DetectorBundle.score` returned.
    Returns:
        At most five; contributions are shares of the sum of squared deviations of all its metrics, at least 5 %.
    """
    now = scored.filter((pl.col("ts") == ts) & pl.col("deviation_sigma").is_not_null())
    squares = now["deviation_sigma"].to_numpy() ** 2
    total = float(squares.sum())
    factors = []
    for at in np.argsort(-squares, kind="stable")[:MOST_FACTORS]:
        share = float(squares[at]) / total if total > 0 else 0.0
        if share < LEAST_SHARE:
            break
        series, sigma = (
            bundle.models[int(now["series_id"][int(at)])].series,
            float(now["deviation_sigma"][int(at)]),
        )
        side = "above" if sigma > 0 else "below"
        value = float(now["value"][int(at)])
        text = f"{series.metric} {format_value(value, series.unit)}, {abs(sigma):.1f} sigma {side} what is expected"
        factors.append(Factor(name=series.name, value=value, contribution=share, text=text))
    return tuple(factors)


def _just_deployed(service: str, start: datetime, events: Sequence[Event]) -> bool:
    return any(
        event.kind is EventKind.DEPLOY
        and event.service in (service, "*")
        and timedelta(0) <= start - event.at <= JUST_DEPLOYED
        for event in events
    )


def traffic_sigma(bundle: DetectorBundle, scored: pl.DataFrame, ts: datetime) -> float:
    """How far above what is expected the traffic of a service was at a moment, in sigma; 0 if it has none."""
    traffic = [key for key, one in bundle.models.items() if one.series.role is Role.TRAFFIC]
    now = scored.filter((pl.col("ts") == ts) & pl.col("series_id").is_in(traffic))["deviation_sigma"].max()
    return float(now) if isinstance(now, float) else 0.0


def _excuse(
    series: Series, start: datetime, lasted_s: float, shape: Shape, events: Sequence[Event], traffic: float
) -> str:
    """Why a deviation that stays short of its threshold need wake nobody, or nothing."""
    if shape is Shape.POINT_SPIKE:
        return "over within minutes"
    if lasted_s <= AFTER_DEPLOY.total_seconds() and _just_deployed(series.service, start, events):
        return "just after a deploy"
    if traffic >= BUSY_SIGMA and series.role is not Role.TRAFFIC:
        return f"in step with traffic that is {traffic:.1f} sigma above what is expected"
    return ""


def _signal(
    bundle: DetectorBundle, one: SeriesModel, scored: pl.DataFrame, service: pl.DataFrame, episode: Episode,
    model: ModelRef | None, events: Sequence[Event],
) -> Signal:  # fmt: skip
    series = one.series
    first, last = (scored.row(i, named=True) for i in (episode.first, episode.last))
    lasted = (last["ts"] - first["ts"]).total_seconds()

    def gates_at(row: Mapping[str, Any]) -> tuple[FilterResult, ...]:
        return one.filters(
            row["value"],
            row["expected"],
            planned=is_planned(series.service, first["ts"], row["ts"], events),
            excuse=_excuse(
                series, first["ts"], lasted, episode.shape, events, traffic_sigma(bundle, service, row["ts"])
            ),
        )

    # The way back can be more surprising than the incident, for the level had begun to follow it.
    moments = [scored.row(i, named=True) for i in (episode.peak, *_extremes(scored, episode))]
    judged = [(row, gates_at(row)) for row in moments]
    peak, filters = next((one for one in judged if all(one.passed for one in one[1])), judged[0])
    value, expected, sigma = peak["value"], peak["expected"], peak["deviation_sigma"]
    side = "above" if sigma > 0 else "below"
    summary = (
        f"{series.name}: {SHAPE_WORDS[episode.shape]} to {format_value(value, series.unit)}, "
        f"{abs(sigma):.1f} sigma {side} the expected {format_value(expected, series.unit)}"
        + (f", for {format_duration(lasted)}" if lasted > 0 else "")
    )
    surprises = {name: -np.log10(peak[name]) for name in bundle.names if peak[name] is not None}
    return Signal(
        signal_id=stable_id(
            series.tenant, SignalKind.ANOMALY, str(series.series_id), first["ts"].isoformat()
        ),
        tenant=series.tenant,
        kind=SignalKind.ANOMALY,
        service=series.service,
        started_at=first["ts"],
        ended_at=None if episode.open else last["ts"],
        peak_at=peak["ts"],
        summary=summary,
        severity=severity(filters, crossed=crosses(series, value, expected)),
        metric=series.metric,
        series_id=series.series_id,
        labels=series.labels,
        unit=series.unit,
        shape=episode.shape,
        value=value,
        band=Band(expected=expected, lower=peak["lower"], upper=peak["upper"]),
        deviation_sigma=sigma,
        score=peak["score"],
        p_value=peak["p_value"],
        filters=filters,
        factors=factors_at(bundle, service, peak["ts"]),
        detectors=detector_results({**surprises, COMBINED: peak["surprise"]}),
        model=model,
    )


def _extremes(scored: pl.DataFrame, episode: Episode) -> tuple[int, int]:
    """Where an episode lies furthest above, and where furthest below what is expected."""
    deviation = scored["deviation_sigma"].to_numpy()[episode.first : episode.last + 1]
    return episode.first + int(np.nanargmax(deviation)), episode.first + int(np.nanargmin(deviation))


def severity(filters: tuple[FilterResult, ...], *, crossed: bool) -> Severity:
    """Critical past the threshold, a warning before it, information where a gate suppressed it."""
    if not all(one.passed for one in filters):
        return Severity.INFO
    return Severity.CRITICAL if crossed else Severity.WARNING
