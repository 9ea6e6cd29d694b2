"""Predicts cascades: breaches that follow breaches of other series.

Errors and latencies often show nothing before they jump, because the cause is elsewhere: a pool ran out, or the disk of
a service that they call. Their own past does not predict such a breach, but the past of the fleet does: how often a
breach of the cause was followed by a breach of the effect, and how long after. The probability of a cascade is this
share times the probability that the cause breaches; its time is the time of the cause plus the usual lag.

A disk at 98 % is a breach, but requests fail only when it is full: minutes later if it fills fast, hours later if it
fills slowly. So a cause counts from the impact level, which was learned and lies between its threshold and its limit.
Once the cause has reached the impact level, only the lags that have not passed yet count: an effect that usually
follows within minutes does not follow any more after an hour.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.arrays import FloatArray
from core.domain import Breach, Role, Series, ServiceEdges, TimeRange
from core.durations import HOUR_S
from models.series.thresholds import breach_threshold_of

#: A breach counts as an effect if it begins at most so long before or after its cause. It may begin before, because a
#: resource that nearly ran out can slow requests before it reaches its threshold.
MAX_LEAD_S, MAX_LAG_S = HOUR_S, 2 * HOUR_S
#: Quantiles of the lag that are stored. Each stands for a fifth of all lags.
LAG_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Possible impact levels, as shares of the way from the threshold to the limit.
IMPACT_FRACTIONS = (0.0, 0.25, 0.5, 0.75)
#: Only what users notice can be an effect. A disk does not fill because requests are slow.
EFFECTS = (Role.LATENCY, Role.ERRORS)

#: Metric of the cause, metric of the effect, and whether the service of the effect calls the service of the cause.
CascadeKind = tuple[str, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRate:
    """How often, and how long after, an effect followed the breaches of a cause.

    Attributes:
        cause_breaches: number of breaches of the cause that were counted.
        followed: how many of them the effect followed.
        own: true if these are breaches of this very cause; false if they are breaches of similar series, because no
            predictable breach of this cause is known.
        share: probability that the effect follows the next breach, in [0, 1]; drawn towards similar pairs if few
            breaches are known.
        lag_quantiles_s: quantiles `LAG_QUANTILES` of the time from cause to effect, in seconds; negative = the effect
            began first.
    """

    cause_breaches: int
    followed: int
    own: bool
    share: float
    lag_quantiles_s: tuple[float, ...]

    def row(self) -> tuple[float, ...]:
        """The fields as one flat tuple, for JSON; `of` reads it."""
        return self.cause_breaches, self.followed, self.own, self.share, *self.lag_quantiles_s

    @classmethod
    def of(
        cls, cause_breaches: int, followed: int, own: bool, share: float, *lag_quantiles_s: float
    ) -> "CascadeRate":
        """The inverse of `row`."""
        return cls(
            cause_breaches=cause_breaches,
            followed=followed,
            own=own,
            share=share,
            lag_quantiles_s=lag_quantiles_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeCause:
    """A series that may cause other breaches.

    Attributes:
        breach: breach of its impact level, see `CascadeModel.impact_level`.
        since_s: seconds for which the series has been past this level; null if it is not.
    """

    series: Series
    breach: Breach
    since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A breach that is expected because another series breaches.

    Attributes:
        cause: the series that breaches first.
        rate: how often the effect followed such breaches in the past.
        breach: the expected breach of the effect.
    """

    cause: Series
    rate: CascadeRate
    breach: Breach


@dataclass(frozen=True, slots=True)
class CascadeModel:
    """The learned cascades of a fleet.

    Attributes:
        by_kind: rate of all pairs of a kind together.
        by_pair: rate of single pairs, by `series_id` of cause and effect; other pairs use the rate of their kind.
        impact_fractions: by metric of the cause, the impact level as a share of the way from threshold to limit; one of
            `IMPACT_FRACTIONS`. Metrics without an entry have their impact at the threshold.
    """

    by_kind: Mapping[CascadeKind, CascadeRate] = field(default_factory=dict)
    by_pair: Mapping[tuple[int, int], CascadeRate] = field(default_factory=dict)
    impact_fractions: Mapping[str, float] = field(default_factory=dict)

    def impact_level(self, series: Series) -> float | None:
        """The value from which a series affects others, in its unit; null if it has no threshold."""
        return level_at_fraction(series, self.impact_fractions.get(series.metric, IMPACT_FRACTIONS[0]))

    def expect(
        self,
        causes: Mapping[int, CascadeCause],
        effects: Iterable[Series],
        edges: ServiceEdges,
        at: datetime,
    ) -> dict[int, Cascade]:
        """Predict the most likely cascade for each effect.

        Args:
            causes: series that may breach or have just breached, by `series_id`.
            effects: series that are not past their threshold yet.
            edges: the service graph, (caller, callee).
            at: the present.
        Returns:
            By `series_id` of the effect; effects without a known cause are left out.
        """
        found: dict[int, Cascade] = {}
        by_service = series_by_service(effects)
        callers = callers_of(edges)
        for cause_id, cause in sorted(causes.items()):
            for effect, called in effects_of(cause.series, by_service, callers):
                effect_id = effect.series_id
                kind = (cause.series.metric, effect.metric, called)
                rate = self.by_pair.get((cause_id, effect_id)) or self.by_kind.get(kind)
                if rate is None:
                    continue
                breach = _effect_breach(cause, rate, effect, at)
                if effect_id not in found or found[effect_id].breach.probability < breach.probability:
                    found[effect_id] = Cascade(cause=cause.series, rate=rate, breach=breach)
        return found

    def to_json(self) -> dict[str, Any]:
        """A JSON object; mappings become rows because JSON has no tuples as keys."""
        return {
            "by_kind": [[*kind, *rate.row()] for kind, rate in sorted(self.by_kind.items())],
            "by_pair": [[*pair, *rate.row()] for pair, rate in sorted(self.by_pair.items())],
            # The key of the previous release.
            "ways": dict(self.impact_fractions),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "CascadeModel":
        """The inverse of `to_json`."""
        return cls(
            by_kind={
                (cause, effect, called): CascadeRate.of(*row)
                for cause, effect, called, *row in stored["by_kind"]
            },
            by_pair={(cause, effect): CascadeRate.of(*row) for cause, effect, *row in stored["by_pair"]},
            impact_fractions=stored["ways"],
        )


def level_at_fraction(series: Series, fraction: float) -> float | None:
    """The value at this share of the way from the threshold to the limit; null if there is no threshold.

    It is the threshold itself for an SLO, which has no limit beyond it.
    """
    threshold = breach_threshold_of(series)
    if threshold is None or series.slo_threshold is not None or series.limit is None:
        return threshold
    return threshold + fraction * (series.limit - threshold)


def series_by_service(series: Iterable[Series]) -> dict[str, list[Series]]:
    """The series that can be an effect, by service."""
    found: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        if one.role in EFFECTS and breach_threshold_of(one) is not None:
            found[one.service].append(one)
    return found


def callers_of(edges: ServiceEdges) -> dict[str, list[str]]:
    """The callers of each called service, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for caller, callee in sorted(set(edges)):
        found[callee].append(caller)
    return found


def effects_of(
    cause: Series, by_service: Mapping[str, list[Series]], callers: Mapping[str, list[str]]
) -> Iterable[tuple[Series, bool]]:
    """Each series that a breach of the cause may affect, and whether it belongs to a calling service."""
    for effect in by_service.get(cause.service, ()):
        if effect.metric != cause.metric:
            yield effect, False
    for caller in callers.get(cause.service, ()):
        for effect in by_service.get(caller, ()):
            yield effect, True


def _effect_breach(cause: CascadeCause, rate: CascadeRate, effect: Series, at: datetime) -> Breach:
    """The breach of the effect: probability of the cause times the share, time of the cause plus the lag."""
    threshold = breach_threshold_of(effect)
    assert threshold is not None  # noqa: S101 - `series_by_service` keeps no other
    breach, lag_s = cause.breach, np.array(rate.lag_quantiles_s)
    horizons_s = np.array(list(breach.probability_by_horizon_s))
    if cause.since_s is None:
        probability = rate.share * breach.probability
        seconds, shares = _cumulative_probability(breach, at)
        in_time = rate.share * np.interp(horizons_s[:, None] - lag_s, seconds, shares).mean(axis=1)
        when = None if breach.when is None else _add_lag(breach.when, rate.lag_quantiles_s, at)
    else:
        # Bayes: the effect has not followed yet, so only the longer lags are left.
        left_s = lag_s[lag_s > cause.since_s] - cause.since_s
        follows = rate.share * len(left_s) / len(lag_s)
        probability = follows / (1.0 - rate.share + follows) if follows else 0.0
        in_time = probability * (left_s <= horizons_s[:, None]).sum(axis=1) / max(len(left_s), 1)
        when = _time_range(at, *np.quantile(left_s, (0.0, 0.5, 1.0))) if len(left_s) else None
    return Breach(
        threshold=threshold,
        probability=probability,
        horizon_s=breach.horizon_s,
        when=when,
        probability_by_horizon_s=dict(
            zip(horizons_s.tolist(), np.minimum(in_time, probability).tolist(), strict=True)
        ),
    )


def _cumulative_probability(breach: Breach, at: datetime) -> tuple[FloatArray, FloatArray]:
    """Seconds from now, ascending, and the probability that the breach has come by then."""
    known = {0.0: 0.0} | {float(key): share for key, share in breach.probability_by_horizon_s.items()}
    if breach.when is not None:
        for share, moment in zip(
            (0.1, 0.5, 0.9), (breach.when.p10, breach.when.p50, breach.when.p90), strict=True
        ):
            known[max((moment - at).total_seconds(), 1.0)] = share * breach.probability
    seconds = np.array(sorted(known))
    return seconds, np.maximum.accumulate(np.array([known[one] for one in sorted(known)]))


def _add_lag(when: TimeRange, lag_quantiles_s: Sequence[float], at: datetime) -> TimeRange:
    """The sum of both ranges, fully correlated: a cause that fills slowly comes late, and so does its effect."""
    seconds = ((moment - at).total_seconds() for moment in (when.p10, when.p50, when.p90))
    lags = (lag_quantiles_s[0], lag_quantiles_s[len(lag_quantiles_s) // 2], lag_quantiles_s[-1])
    return _time_range(at, *(one + lag for one, lag in zip(seconds, lags, strict=True)))


def _time_range(at: datetime, *seconds: float) -> TimeRange:
    p10, p50, p90 = (at + timedelta(seconds=round(max(float(one), 0.0))) for one in seconds)
    return TimeRange(p10=p10, p50=p50, p90=p90)
