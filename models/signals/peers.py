"""Signals about replicas that differ from their peers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.domain import Band, DetectorResult, Event, Factor, Series, Shape, Signal, SignalKind, stable_id
from models.detect.filters import slo_impact
from models.peers.comparison import Comparison, OutlierEpisode, compare, outlier_episodes
from models.peers.groups import PeerGroup
from models.series.grid import as_utc
from models.series.maintenance import is_planned
from models.signals.anomaly import severity
from models.words.peers import PEERS, peer_summary, peers_text, usual_share


def peer_signals(
    groups: Sequence[PeerGroup], known: Sequence[Signal], now: datetime, events: Sequence[Event] = ()
) -> list[Signal]:
    """The replicas that differ now, and the known signals that have ended.

    Args:
        known: open signals of this kind, of the metrics that `groups` are about.
        events: a maintenance window among them explains a difference.
    Returns:
        A known signal that goes on keeps its id and its start. It ends when the replica is like its peers again, or
        has no values any more.
    """
    open_before = {_subject(one): one for one in known}
    found = []
    for outlier in _outliers(groups):
        before = open_before.pop(_subject(outlier.series), None)
        if outlier.episode.is_open:
            found.append(outlier.signal(before, now, events))
        elif before is not None:
            found.append(replace(before, ended_at=max(outlier.at(outlier.episode.last), before.started_at)))
    gone = [replace(one, ended_at=max(now, one.started_at)) for one in open_before.values()]
    return sorted(found + gone, key=lambda one: (one.started_at, one.signal_id))


def _subject(one: Signal | Series) -> tuple[object, ...]:
    """Tells the signals of different replicas apart."""
    return (one.service, one.metric, *sorted(one.labels.items()))


@dataclass(frozen=True, slots=True)
class _Outlier:
    """One replica and its newest episode."""

    group: PeerGroup
    compared: Comparison
    row: int
    episode: OutlierEpisode

    @property
    def series(self) -> Series:
        return self.group.replicas[self.row]

    def at(self, step: int) -> datetime:
        return as_utc(self.group.times_s[step])

    def signal(self, before: Signal | None, now: datetime, events: Sequence[Event]) -> Signal:
        """The signal, which goes on from `before` if there is one."""
        series = self.series
        start = self.at(self.episode.first) if before is None else before.started_at
        start = min(start, self.at(self.episode.first))
        signal_id = (
            before.signal_id
            if before is not None
            else stable_id(series.tenant, PEERS, str(series.series_id), start.isoformat())
        )
        newest = self._signal(signal_id, start, now, events)
        peak_before = abs(before.deviation_sigma or 0.0) if before is not None else 0.0
        if before is None or abs(newest.deviation_sigma or 0.0) >= peak_before:
            return newest
        # The peak lies before the hours that are read now.
        text = peer_summary(before, (now - start).total_seconds())
        return replace(before, summary=text, filters=newest.filters, severity=newest.severity)

    def _signal(self, signal_id: str, start: datetime, now: datetime, events: Sequence[Event]) -> Signal:
        series, step, row = self.series, self.episode.peak, self.row
        values = self.group.recent[:, step]
        value, expected = float(values[row]), float(self.compared.expected[row, step])
        sigma = max(float(self.compared.sigma[row, step]), self.group.recipe.least_difference / 10)
        others = np.delete(values, row)
        others = others[~np.isnan(others)]
        low, high = float(others.min()), float(others.max())
        planned = is_planned(series.service, start, self.at(self.episode.last), events)
        filters = (slo_impact(series, value, expected, planned=planned),)
        strength = abs(float(self.compared.strength[row, step]))
        text = peers_text(len(others), low, high, series.unit)
        if low <= value <= high:
            text += f"; {usual_share(expected, series.unit)}"
        signal = Signal(
            signal_id=signal_id,
            tenant=series.tenant,
            kind=SignalKind.ANOMALY,
            service=series.service,
            started_at=start,
            peak_at=self.at(step),
            summary="",
            severity=severity(filters, crossed=False),
            metric=series.metric,
            labels=series.labels,
            unit=series.unit,
            shape=Shape.LEVEL_SHIFT,
            value=value,
            band=Band(expected=expected, lower=low, upper=high, level=1.0),
            deviation_sigma=(value - expected) / sigma,
            filters=filters,
            factors=(Factor(name=PEERS, value=float(len(others)), contribution=1.0, text=text),),
            detectors=(DetectorResult(detector=PEERS, score=1 - 0.5 / max(strength, 1.0), p_value=None),),
        )
        return replace(signal, summary=peer_summary(signal, (now - start).total_seconds()))


def _outliers(groups: Sequence[PeerGroup]) -> Iterator[_Outlier]:
    for group in groups:
        compared = compare(
            group.recent,
            group.past,
            least=group.recipe.least_difference,
            direction=group.recipe.direction,
            needs_past=group.needs_past,
        )
        for row in np.flatnonzero((np.abs(np.nan_to_num(compared.strength)) >= 1).any(axis=1)):
            episodes = outlier_episodes(compared.strength[row])
            if episodes:
                yield _Outlier(group, compared, int(row), episodes[-1])
