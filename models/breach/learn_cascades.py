"""Learns cascades by counting: how often an effect followed a cause, how long after, and from which level of the cause.

Counting alone gives little evidence for a pair that was seen twice. The peaks of similar effects after similar breaches
give more, compared with the threshold of this effect: if a tenth of all requests fail after such breaches, every SLO of
2 % is crossed, and no SLO of 20 %.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Float32Array, FloatArray
from core.domain import Series, SeriesKind, ServiceEdges
from core.durations import HOUR_S
from models.breach.cascade import (
    IMPACT_FRACTIONS,
    LAG_QUANTILES,
    MAX_LAG_S,
    MAX_LEAD_S,
    CascadeKind,
    CascadeModel,
    CascadeRate,
    callers_of,
    effects_of,
    series_by_service,
)
from models.series.thresholds import breach_threshold_of, is_upward

#: So many breaches of a pair weigh as much as those of all similar pairs, and so many breaches of similar pairs as
#: chance. The second is as small as Jeffreys' prior. Otherwise an effect that always followed would be predicted as if
#: it often did not.
PAIR_PRIOR, KIND_PRIOR = 2.0, 0.5
#: A share must be so many times as large as chance. Otherwise it counts as no cascade.
ABOVE_CHANCE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyPeaks:
    """How far an effect went towards its bad side in each hour, in a unit in which similar series can be compared.

    Attributes:
        start_s: epoch seconds at which the first hour begins.
        peaks: the peak of each hour; -inf where nothing is known. Ratios are kept as they are, other values are
            divided by their usual size. In single precision, because a training run holds those of a whole fleet.
        threshold: threshold of the effect in the same unit and precision, so that a value on it counts as a breach.
    """

    start_s: float
    peaks: Float32Array
    threshold: float

    @classmethod
    def of(
        cls, series: Series, seconds: FloatArray, values: FloatArray, *, start_s: float, hours: int
    ) -> "HourlyPeaks | None":
        """The peaks of one series; null if it has no threshold or no values.

        Args:
            seconds: epoch seconds of each value, ascending.
            values: smoothed a little, so that one bad sample is no peak.
            start_s: epoch seconds at which the first hour begins.
            hours: number of hours.
        """
        threshold = breach_threshold_of(series)
        if threshold is None or not len(values):
            return None
        sign = 1.0 if is_upward(series) else -1.0
        usual = float(np.median(np.abs(values)))
        unit = sign * (usual if series.kind is not SeriesKind.RATIO and usual > 0 else 1.0)
        hour = np.floor((seconds - start_s) / HOUR_S).astype(np.intp)
        inside = (hour >= 0) & (hour < hours)
        peaks = np.full(hours, -np.inf, dtype=np.float32)
        np.maximum.at(peaks, hour[inside], (values[inside] / unit).astype(np.float32))
        return cls(start_s=start_s, peaks=peaks, threshold=float(np.float32(threshold / unit)))

    def around(self, times: FloatArray) -> FloatArray:
        """The peak from `MAX_LEAD_S` before to `MAX_LAG_S` after each time, by whole hours; -inf where unknown."""
        first = np.floor((times - MAX_LEAD_S - self.start_s) / HOUR_S).astype(np.intp)
        steps = np.arange((MAX_LEAD_S + MAX_LAG_S) // HOUR_S + 1)
        known = np.append(self.peaks, -np.inf)
        hours = first[:, None] + steps
        inside = (hours >= 0) & (hours < len(self.peaks))
        return np.asarray(known[np.where(inside, hours, -1)].max(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachTimes:
    """When a series breached, in epoch seconds, ascending.

    Attributes:
        as_effect_s: when it crossed its threshold.
        as_cause_s: when it crossed each impact level of `IMPACT_FRACTIONS` that it has. Breaches that could not be
            predicted are left out, because what followed them does not show what follows predicted ones.
    """

    as_effect_s: FloatArray
    as_cause_s: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """What followed the breaches of one cause in one effect.

    Attributes:
        ids: `series_id` of cause and effect.
        cause_s: when the cause breached, in epoch seconds.
        lags_s: seconds from cause to effect, of each breach of the cause that the effect followed.
        chance: probability that any moment is near a breach of the effect.
    """

    ids: tuple[int, int]
    cause_s: FloatArray
    lags_s: list[float]
    chance: float


#: Impact fraction -> kind -> pairs.
_ByFraction = Mapping[float, Mapping[CascadeKind, list[_Pair]]]


def learn_cascades(
    breaches: Mapping[int, BreachTimes],
    series: Iterable[Series],
    edges: ServiceEdges,
    *,
    span_s: float,
    peaks: Mapping[int, HourlyPeaks] | None = None,
) -> CascadeModel:
    """Count which breaches followed which.

    Args:
        breaches: by `series_id`, of each series that breached.
        series: all series that have a threshold.
        edges: the service graph, (caller, callee).
        span_s: length of the training window in seconds.
        peaks: of effects, by `series_id`. For effects without peaks, the counts of similar effects are used.
    """
    peaks = peaks or {}
    by_kind: dict[CascadeKind, CascadeRate] = {}
    by_pair: dict[tuple[int, int], CascadeRate] = {}
    impact_fractions: dict[str, float] = {}
    for metric, by_fraction in sorted(_count(breaches, series, edges, span_s).items()):
        fraction = _impact_fraction(by_fraction)
        for kind, pairs in sorted(by_fraction[fraction].items()):
            rate = _rate_of_kind(pairs)
            if rate is None:
                continue
            by_kind[kind] = rate
            by_pair.update(_rates_of_pairs(pairs, rate, peaks))
        if fraction != IMPACT_FRACTIONS[0]:
            impact_fractions[metric] = fraction
    return CascadeModel(by_kind, by_pair, impact_fractions)


def _count(
    breaches: Mapping[int, BreachTimes], series: Iterable[Series], edges: ServiceEdges, span_s: float
) -> dict[str, _ByFraction]:
    """By metric of the cause and impact fraction: all pairs of a kind, including those whose cause did not breach."""
    known = {one.series_id: one for one in series}
    by_service, callers = series_by_service(known.values()), callers_of(edges)
    breached = {known[key].metric for key in breaches if key in known}
    none = BreachTimes(as_effect_s=np.empty(0), as_cause_s=(np.empty(0),))
    counted: dict[str, dict[float, dict[CascadeKind, list[_Pair]]]] = {}
    for cause_id, cause in sorted(known.items()):
        if cause.metric not in breached:
            continue
        by_fraction = counted.setdefault(
            cause.metric, {fraction: defaultdict(list) for fraction in IMPACT_FRACTIONS}
        )
        by_level = breaches.get(cause_id, none).as_cause_s
        for effect, called in effects_of(cause, by_service, callers):
            effect_s = breaches.get(effect.series_id, none).as_effect_s
            chance = 1.0 - math.exp(-len(effect_s) * (MAX_LEAD_S + MAX_LAG_S) / span_s)
            for index, fraction in enumerate(IMPACT_FRACTIONS):
                cause_s = by_level[min(index, len(by_level) - 1)]
                pair = _Pair((cause_id, effect.series_id), cause_s, _lags(cause_s, effect_s), chance)
                by_fraction[fraction][cause.metric, effect.metric, called].append(pair)
    return dict(counted)


def _impact_fraction(by_fraction: _ByFraction) -> float:
    """The impact fraction from which effects come most regularly: least spread of the lags, few missed effects.

    An effect that is not found from there costs as much as one that comes `MAX_LAG_S` away from its usual lag.
    """
    lags = {
        fraction: [[lag for pair in pairs for lag in pair.lags_s] for _, pairs in sorted(kinds.items())]
        for fraction, kinds in by_fraction.items()
    }
    most = max(sum(map(len, found)) for found in lags.values())

    def cost(fraction: float) -> float:
        missed = most - sum(map(len, lags[fraction]))
        return missed + sum(
            float(np.abs(np.array(one) - np.median(one)).sum()) / MAX_LAG_S for one in lags[fraction] if one
        )

    return min(sorted(by_fraction), key=cost)


def _rate_of_kind(pairs: Sequence[_Pair]) -> CascadeRate | None:
    """The rate of all pairs of a kind together; null if it is no more than chance."""
    lags = [lag for pair in pairs for lag in pair.lags_s]
    causes = sum(len(pair.cause_s) for pair in pairs)
    if not causes:
        return None
    share = _shrink(len(lags), causes, _chance(pairs), KIND_PRIOR)
    if not lags or share < ABOVE_CHANCE * _chance(pairs):
        return None
    lag_s = tuple(float(lag) for lag in np.quantile(lags, LAG_QUANTILES))
    return CascadeRate(
        cause_breaches=causes, followed=len(lags), own=False, share=share, lag_quantiles_s=lag_s
    )


def _rates_of_pairs(
    pairs: Sequence[_Pair], of_kind: CascadeRate, peaks: Mapping[int, HourlyPeaks]
) -> dict[tuple[int, int], CascadeRate]:
    """The rate of each pair, drawn towards how often similar effects rose as high as the threshold of this effect.

    A pair whose cause never breached has a rate too, if the peaks of similar effects are known.
    """
    known = [peaks[pair.ids[1]].around(pair.cause_s) for pair in pairs if pair.ids[1] in peaks]
    reached = np.concatenate(known) if known else np.empty(0)
    chance = _chance(pairs)
    found: dict[tuple[int, int], CascadeRate] = {}
    for pair in pairs:
        rate, effect = of_kind, peaks.get(pair.ids[1])
        if effect is not None and len(reached):
            followed, causes = int((reached >= effect.threshold).sum()), len(reached)
            share = _shrink(followed, causes, chance, KIND_PRIOR)
            rate = replace(of_kind, cause_breaches=causes, followed=followed, share=share)
        if len(pair.cause_s):
            followed, causes = len(pair.lags_s), len(pair.cause_s)
            share = _shrink(followed, causes, rate.share, PAIR_PRIOR)
            rate = replace(of_kind, cause_breaches=causes, followed=followed, own=True, share=share)
        if rate is not of_kind:
            found[pair.ids] = rate
    return found


def _chance(pairs: Sequence[_Pair]) -> float:
    """Probability that a breach of one of the causes is near a breach of its effect by chance, in [0, 1]."""
    causes = sum(len(pair.cause_s) for pair in pairs)
    return sum(pair.chance * len(pair.cause_s) for pair in pairs) / causes if causes else 0.0


def _shrink(count: int, of: int, towards: float, prior: float) -> float:
    """The share `count / of`, drawn towards another share as if that one had been seen `prior` times more."""
    return (count + prior * towards) / (of + prior)


def _lags(causes: FloatArray, effects: FloatArray) -> list[float]:
    """Seconds from each cause to its nearest effect; causes without an effect in reach are left out."""
    apart = effects[None, :] - causes[:, None]
    near = (apart >= -MAX_LEAD_S) & (apart <= MAX_LAG_S)
    return [
        float(one[hit][np.argmin(np.abs(one[hit]))])
        for one, hit in zip(apart, near, strict=True)
        if hit.any()
    ]
