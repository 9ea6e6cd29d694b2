"""Builds anomaly signals from scored values, one for each episode."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
    Severity,
    Shape,
    Signal,
    SignalKind,
    stable_id,
)
from core.resizes import is_resize_of
from models.detect.episodes import Episode, find_episodes, stays_open_s
from models.detect.filters import crosses, noticeable, slo_impact
from models.detect.learned_fleet import LearnedFleet
from models.detect.learned_series import LearnedSeries
from models.detect.series_model import COMBINED, detector_results
from models.series.maintenance import is_planned
from models.words.anomaly import (
    AFTER_A_DEPLOY,
    AFTER_A_RESIZE,
    ENDED_WITHIN_MINUTES,
    anomaly_summary,
    busy_traffic,
    deviating_metric,
)

#: A deviation that begins so soon after a deploy is a disturbance by the deploy; it counts as brief up to the second.
JUST_DEPLOYED = timedelta(minutes=30)
AFTER_DEPLOY = timedelta(hours=1)
#: A deviation that begins so near to a change of the size is its effect. After the second time the models have learned
#: the new size.
JUST_RESIZED = timedelta(minutes=30)
RESIZE_EXPLAINS = timedelta(days=7)
#: Traffic so far above the expected value explains that other metrics rise, as long as they stay below their threshold.
BUSY_SIGMA = 4.0

#: A signal names at most so many metrics, and none with a smaller share than this.
MOST_FACTORS, LEAST_SHARE = 5, 0.05


def anomaly_signals(
    fleet: LearnedFleet,
    scored: pl.DataFrame,
    model: ModelRef | None,
    *,
    since: datetime,
    until: datetime | None = None,
    events: Sequence[Event] = (),
) -> list[Signal]:
    """One signal for each episode that lasts beyond `since`, suppressed ones included.

    Args:
        scored: what `DetectorBundle.score` returned.
        until: the present; null: the time of the newest value of each series.
        events: maintenance windows, deploys and resizes among them explain deviations.
    """
    signals: list[Signal] = []
    # Of a large fleet, few series have anomalies.
    anomalous_ids = scored.filter("is_anomaly")["series_id"].unique()
    by_service = _rows_by_service(fleet, scored, {fleet.series[key].series.service for key in anomalous_ids})
    of_anomalous = scored.filter(pl.col("series_id").is_in(anomalous_ids.implode()))
    for (key,), mine in of_anomalous.group_by("series_id", maintain_order=True):
        one = fleet.series[int(key)]
        anomalous = mine["is_anomaly"].to_numpy()
        times_s = mine["ts"].dt.epoch("s").to_numpy()
        episodes = find_episodes(
            times_s,
            mine["surprise"].to_numpy(),
            anomalous,
            mine["deviation_sigma"].to_numpy(),
            one.series.step_s,
        )
        found = _SeriesEpisodes(
            fleet=fleet,
            one=one,
            scored=mine,
            service=by_service[one.series.service],
            model=model,
            events=events,
            present=mine["ts"][-1] if until is None else until,
        )
        signals += [
            found.signal(episode) for episode in episodes if times_s[episode.last] >= since.timestamp()
        ]
    return sorted(signals, key=lambda signal: (signal.started_at, signal.signal_id))


def _rows_by_service(
    fleet: LearnedFleet, scored: pl.DataFrame, services: Collection[str]
) -> dict[str, pl.DataFrame]:
    """Service -> the rows of all its series, of these services."""
    service_of = {
        key: one.series.service for key, one in fleet.series.items() if one.series.service in services
    }
    rows = scored.with_columns(
        service=pl.col("series_id").replace_strict(service_of, default=None, return_dtype=pl.String)
    )
    parts = rows.drop_nulls("service").partition_by("service", as_dict=True)
    return {str(service): frame for (service,), frame in parts.items()}


def factors_at(fleet: LearnedFleet, scored: pl.DataFrame, ts: datetime) -> tuple[Factor, ...]:
    """The metrics of a service that deviate at one moment, the strongest first.

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
            fleet.series[int(now["series_id"][int(at)])].series,
            float(now["deviation_sigma"][int(at)]),
        )
        value = float(now["value"][int(at)])
        factors.append(
            Factor(
                name=series.name,
                value=value,
                contribution=share,
                text=deviating_metric(series, value, sigma),
            )
        )
    return tuple(factors)


def traffic_sigma(fleet: LearnedFleet, scored: pl.DataFrame, ts: datetime) -> float:
    """How far above its expected value the traffic of a service was at a moment, in sigma; 0 if it has none.

    Args:
        scored: of one service, as `DetectorBundle.score` returned.
    """
    now = scored.filter(pl.col("ts") == ts).select("series_id", "deviation_sigma").rows()
    of_traffic = [
        sigma for key, sigma in now if sigma is not None and fleet.series[key].series.role is Role.TRAFFIC
    ]
    return max(of_traffic, default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeriesEpisodes:
    """What the signals of one series are built from.

    Attributes:
        one: the series.
        scored: rows of the series, as `DetectorBundle.score` returned them.
        service: rows of all series of its service.
        events: maintenance windows, deploys and resizes among them explain deviations.
        present: by which it is decided whether an episode goes on.
    """

    fleet: LearnedFleet
    one: LearnedSeries
    scored: pl.DataFrame
    service: pl.DataFrame
    model: ModelRef | None
    events: Sequence[Event]
    present: datetime

    def signal(self, episode: Episode) -> Signal:
        """The signal of one episode."""
        series = self.one.series
        times = self.scored["ts"]
        at, peak, filters = self._peak(episode)
        first, last = (
            self._noticeable(episode, at)
            if all(one.passed for one in filters)
            else (episode.first, episode.last)
        )
        began, ended = times[first], times[last]
        is_open = self.present - ended <= timedelta(seconds=stays_open_s(series.step_s))
        value, expected, sigma = peak["value"], peak["expected"], peak["deviation_sigma"]
        surprises = {name: -np.log10(peak[name]) for name in self.fleet.names if peak[name] is not None}
        return Signal(
            signal_id=stable_id(
                series.tenant, SignalKind.ANOMALY, str(series.series_id), times[episode.first].isoformat()
            ),
            tenant=series.tenant,
            kind=SignalKind.ANOMALY,
            service=series.service,
            started_at=began,
            ended_at=None if is_open else ended,
            peak_at=peak["ts"],
            summary=anomaly_summary(
                series, episode.shape, value, expected, sigma, (ended - began).total_seconds()
            ),
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
            factors=factors_at(self.fleet, self.service, peak["ts"]),
            detectors=detector_results({**surprises, COMBINED: peak["surprise"]}),
            model=self.model,
        )

    def _noticeable(self, episode: Episode, at: int) -> tuple[int, int]:
        """The first and the last value of the episode that somebody would notice; the one at `at` is such.

        Other deviations before an incident, and after it, may belong to the same episode: a service that now needs a
        little more memory than before has recovered, so has one that now answers faster, and answers with errors were
        quick before all became slow.
        """
        side = self._noticeable_side(at)
        first, last = episode.first, episode.last
        while first < at and self._noticeable_side(first) != side:
            first += 1
        while last > at and not (self._noticeable_side(last) == side or self._is_bad(last)):
            last -= 1
        return first, last

    def _noticeable_side(self, at: int) -> int:
        """1 where a value is higher than expected, -1 where it is lower, 0 where nobody would notice."""
        row = self.scored.row(at, named=True)
        value, expected = row["value"], row["expected"]
        if value is None or expected is None:
            return 0
        band = Band(expected=expected, lower=row["lower"], upper=row["upper"])
        past = crosses(self.one.series, value, expected)
        if not noticeable(self.one.series, value, band, past=past).passed:
            return 0
        return 1 if value > expected else -1

    def _is_bad(self, at: int) -> bool:
        """Whether somebody would notice the value, and on a side that is bad."""
        value, expected = self.scored["value"][at], self.scored["expected"][at]
        return self._noticeable_side(at) != 0 and slo_impact(self.one.series, value, expected).passed

    def _peak(self, episode: Episode) -> tuple[int, dict[str, Any], tuple[FilterResult, ...]]:
        """The row that stands for the episode: its index, the row and its filters. One that passes all of them if
        there is one.

        The return to normal can be more surprising than the incident, because the expected level had begun to follow.
        """
        moments = (episode.peak, *_extremes(self.scored, episode))
        rows = [(at, self.scored.row(at, named=True)) for at in moments]
        filtered = [(at, row, self._filters(row, episode)) for at, row in rows]
        return next((one for one in filtered if all(result.passed for result in one[2])), filtered[0])

    def _filters(self, row: Mapping[str, Any], episode: Episode) -> tuple[FilterResult, ...]:
        start = self.scored["ts"][episode.first]
        return self.one.filters(
            row["value"],
            Band(expected=row["expected"], lower=row["lower"], upper=row["upper"]),
            planned=is_planned(self.one.series.service, start, row["ts"], self.events),
            excuse=self._excuse(episode, start, row["ts"]),
        )

    def _excuse(self, episode: Episode, start: datetime, at: datetime) -> str:
        """Why the deviation needs no alert as long as it does not cross the threshold; "" = nothing."""
        series = self.one.series
        if episode.shape is Shape.POINT_SPIKE:
            return ENDED_WITHIN_MINUTES
        brief = self._lasted_s(episode) <= AFTER_DEPLOY.total_seconds()
        if brief and _just_deployed(series.service, start, self.events):
            return AFTER_A_DEPLOY
        if self._resized(start):
            return AFTER_A_RESIZE
        traffic = traffic_sigma(self.fleet, self.service, at)
        return busy_traffic(traffic) if traffic >= BUSY_SIGMA and series.role is not Role.TRAFFIC else ""

    def _resized(self, start: datetime) -> bool:
        """Whether the deviation begins with a change of the size. It may last: a disk keeps its new size.

        One that has lasted since the first values here may have begun before them.
        """
        lasting = start - self.scored["ts"][0] <= JUST_RESIZED
        return any(
            is_resize_of(event, self.one.series)
            and (abs(start - event.at) <= JUST_RESIZED or (lasting and timedelta(0) <= start - event.at))
            for event in self.events
            if event.kind is EventKind.CONFIG_CHANGE
        )

    def _lasted_s(self, episode: Episode) -> float:
        lasted: timedelta = self.scored["ts"][episode.last] - self.scored["ts"][episode.first]
        return lasted.total_seconds()


def _just_deployed(service: str, start: datetime, events: Sequence[Event]) -> bool:
    return any(
        event.kind is EventKind.DEPLOY
        and event.service in (service, "*")
        and timedelta(0) <= start - event.at <= JUST_DEPLOYED
        for event in events
    )


def _extremes(scored: pl.DataFrame, episode: Episode) -> tuple[int, int]:
    """The rows of an episode that lie furthest above and furthest below the expected value."""
    deviation = scored["deviation_sigma"].to_numpy()[episode.first : episode.last + 1]
    return episode.first + int(np.nanargmax(deviation)), episode.first + int(np.nanargmin(deviation))


def severity(filters: tuple[FilterResult, ...], *, crossed: bool) -> Severity:
    """Critical past the threshold, a warning before it, information if a filter suppressed the signal."""
    if not all(one.passed for one in filters):
        return Severity.INFO
    return Severity.CRITICAL if crossed else Severity.WARNING
