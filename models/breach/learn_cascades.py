"""What followed the breaches of the past, counted: how often, how long after, and from which level of the cause.

Counting alone knows little of a pair that was seen twice. How high errors rose elsewhere after breaches alike, held
against where this one's threshold lies, knows more: a tenth of all requests that fail pass an SLO of 2 % everywhere,
and one of 20 % nowhere.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.domain import Series, SeriesKind
from models.breach.cascade import (
    AFTER_S,
    BEFORE_S,
    LAGS_AT,
    WAYS,
    CascadeKind,
    CascadeModel,
    CascadeRate,
    Edges,
    callers_of,
    effects_of,
    series_by_service,
)
from models.forecast.protocols import FloatArray
from models.series.thresholds import is_upward, threshold_of

#: So many breaches of a pair weigh as much as those of all pairs alike, and so many of those as chance: as little as
#: Jeffreys' prior, or what always followed would be told as if it often did not.
PAIR_WORTH, KIND_WORTH = 2.0, 0.5
#: A share that is not so many times as large as chance is none.
ABOVE_CHANCE = 3.0
HOUR_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Heights:
    """How far an effect went towards its bad side, hour by hour, in a unit in which its likes can be compared.

    Attributes:
        start_s: epoch seconds at which the first hour begins.
        highest: of each hour; -inf where nothing is known. Ratios as they are, all else by what is usual. In single
            precision, for a night holds those of a whole fleet.
        bar: its threshold, in the same unit and precision, so that a value on it is one that came to it.
    """

    start_s: float
    highest: NDArray[np.float32]
    bar: float

    @classmethod
    def of(
        cls, series: Series, seconds: FloatArray, values: FloatArray, *, start_s: float, hours: int
    ) -> "Heights | None":
        """Null where the series has no threshold, or none of its values is known.

        Args:
            seconds: epoch seconds of each value, ascending.
            values: smoothed a little, so that one bad sample is no height.
        """
        threshold = threshold_of(series)
        if threshold is None or not len(values):
            return None
        sign = 1.0 if is_upward(series) else -1.0
        usual = float(np.median(np.abs(values)))
        unit = sign * (usual if series.kind is not SeriesKind.RATIO and usual > 0 else 1.0)
        hour = np.floor((seconds - start_s) / HOUR_S).astype(np.intp)
        inside = (hour >= 0) & (hour < hours)
        highest = np.full(hours, -np.inf, dtype=np.float32)
        np.maximum.at(highest, hour[inside], (values[inside] / unit).astype(np.float32))
        return cls(start_s=start_s, highest=highest, bar=float(np.float32(threshold / unit)))

    def around(self, times: FloatArray) -> FloatArray:
        """The highest from `BEFORE_S` before to `AFTER_S` after each time, by whole hours; -inf where unknown."""
        first = np.floor((times - BEFORE_S - self.start_s) / HOUR_S).astype(np.intp)
        steps = np.arange((BEFORE_S + AFTER_S) // HOUR_S + 1)
        known = np.append(self.highest, -np.inf)
        hours = first[:, None] + steps
        inside = (hours >= 0) & (hours < len(self.highest))
        return np.asarray(known[np.where(inside, hours, -1)].max(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breached:
    """When a series breached, in epoch seconds, ascending.

    Attributes:
        came: when it came to its threshold.
        foreseen: likewise to each level of `WAYS` that it has; breaches that nobody could have foreseen are left out,
            for what followed them tells nothing of those that are.
    """

    came: FloatArray
    foreseen: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """What one cause did to one effect; `chance` is how often any moment is near a breach of the effect."""

    ids: tuple[int, int]
    times: FloatArray
    lags_s: list[float]
    chance: float


_Ways = Mapping[float, Mapping[CascadeKind, list[_Pair]]]


def learn_cascades(
    breaches: Mapping[int, Breached],
    series: Iterable[Series],
    edges: Edges,
    *,
    span_s: float,
    heights: Mapping[int, Heights] | None = None,
) -> CascadeModel:
    """Count what followed what.

    Args:
        breaches: by `series_id`, of each series that breached.
        series: all that have a threshold.
        span_s: length of the time that was looked at, in seconds.
        heights: of effects, by `series_id`; those without are judged by how often others followed.
    """
    heights = heights or {}
    by_kind: dict[CascadeKind, CascadeRate] = {}
    by_pair: dict[tuple[int, int], CascadeRate] = {}
    chosen: dict[str, float] = {}
    for metric, ways in sorted(_count(breaches, series, edges, span_s).items()):
        way = _where_felt(ways)
        for kind, pairs in sorted(ways[way].items()):
            habit = _habit_of(pairs)
            if habit is None:
                continue
            by_kind[kind] = habit
            by_pair.update(_pairs_of(pairs, habit, heights))
        if way != WAYS[0]:
            chosen[metric] = way
    return CascadeModel(by_kind, by_pair, chosen)


def _count(
    breaches: Mapping[int, Breached], series: Iterable[Series], edges: Edges, span_s: float
) -> dict[str, _Ways]:
    """By the metric of the cause and by way: all pairs of a kind, also those whose cause did not breach."""
    known = {one.series_id: one for one in series}
    by_service, callers = series_by_service(known.values()), callers_of(edges)
    breached = {known[key].metric for key in breaches if key in known}
    nothing = Breached(came=np.empty(0), foreseen=(np.empty(0),))
    counted: dict[str, dict[float, dict[CascadeKind, list[_Pair]]]] = {}
    for cause_id, cause in sorted(known.items()):
        if cause.metric not in breached:
            continue
        ways = counted.setdefault(cause.metric, {way: defaultdict(list) for way in WAYS})
        by_way = breaches.get(cause_id, nothing).foreseen
        for effect, called in effects_of(cause, by_service, callers):
            felt = breaches.get(effect.series_id, nothing).came
            chance = 1.0 - math.exp(-len(felt) * (BEFORE_S + AFTER_S) / span_s)
            for at, way in enumerate(WAYS):
                times = by_way[min(at, len(by_way) - 1)]
                pair = _Pair((cause_id, effect.series_id), times, _lags(times, felt), chance)
                ways[way][cause.metric, effect.metric, called].append(pair)
    return dict(counted)


def _where_felt(ways: _Ways) -> float:
    """The way after which what follows comes most alike: with the least spread of lags, and hardly anything missed.

    A knock-on that is not found from there costs as much as one that comes `AFTER_S` away from its usual lag.
    """
    lags = {
        way: [[lag for pair in pairs for lag in pair.lags_s] for _, pairs in sorted(kinds.items())]
        for way, kinds in ways.items()
    }
    most = max(sum(map(len, found)) for found in lags.values())

    def cost(way: float) -> float:
        missed = most - sum(map(len, lags[way]))
        return missed + sum(
            float(np.abs(np.array(one) - np.median(one)).sum()) / AFTER_S for one in lags[way] if one
        )

    return min(sorted(ways), key=cost)


def _habit_of(pairs: Sequence[_Pair]) -> CascadeRate | None:
    """What all pairs of a kind do together; null where nothing of it is more than chance."""
    lags = [lag for pair in pairs for lag in pair.lags_s]
    causes = sum(len(pair.times) for pair in pairs)
    if not causes:
        return None
    share = _drawn(len(lags), causes, _chance(pairs), KIND_WORTH)
    if not lags or share < ABOVE_CHANCE * _chance(pairs):
        return None
    lag_s = tuple(float(lag) for lag in np.quantile(lags, LAGS_AT))
    return CascadeRate(causes=causes, followed=len(lags), own=False, share=share, lag_s=lag_s)


def _pairs_of(
    pairs: Sequence[_Pair], habit: CascadeRate, heights: Mapping[int, Heights]
) -> dict[tuple[int, int], CascadeRate]:
    """Each pair's own habit, drawn towards how often others went as high as this effect's threshold lies.

    A pair whose cause never breached has a habit too, where the heights of others say something of it.
    """
    known = [heights[pair.ids[1]].around(pair.times) for pair in pairs if pair.ids[1] in heights]
    reached = np.concatenate(known) if known else np.empty(0)
    chance = _chance(pairs)
    found: dict[tuple[int, int], CascadeRate] = {}
    for pair in pairs:
        told, effect = habit, heights.get(pair.ids[1])
        if effect is not None and len(reached):
            followed, causes = int((reached >= effect.bar).sum()), len(reached)
            share = _drawn(followed, causes, chance, KIND_WORTH)
            told = replace(habit, causes=causes, followed=followed, share=share)
        if len(pair.times):
            followed, causes = len(pair.lags_s), len(pair.times)
            share = _drawn(followed, causes, told.share, PAIR_WORTH)
            told = replace(habit, causes=causes, followed=followed, own=True, share=share)
        if told is not habit:
            found[pair.ids] = told
    return found


def _chance(pairs: Sequence[_Pair]) -> float:
    """How often a moment at which one of the causes breached would be near a breach of the effect anyhow."""
    causes = sum(len(pair.times) for pair in pairs)
    return sum(pair.chance * len(pair.times) for pair in pairs) / causes if causes else 0.0


def _drawn(count: int, of: int, towards: float, worth: float) -> float:
    """A share, drawn towards another as if `worth` more had been seen of that."""
    return (count + worth * towards) / (of + worth)


def _lags(causes: FloatArray, effects: FloatArray) -> list[float]:
    """Of each cause that the effect followed: how long after, in seconds."""
    apart = effects[None, :] - causes[:, None]
    near = (apart >= -BEFORE_S) & (apart <= AFTER_S)
    return [
        float(one[hit][np.argmin(np.abs(one[hit]))])
        for one, hit in zip(apart, near, strict=True)
        if hit.any()
    ]
