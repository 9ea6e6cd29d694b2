"""Knock-on breaches: what passes its threshold because something else does.

Errors and latencies often show nothing before they jump: the pool that they wait for ran out, or the disk of a service
that is called. No past of their own tells it beforehand. The fleet's past does: how often a breach of the one was
followed by a breach of the other, and how long after. Such a share times the probability that the cause breaches is
the probability of the knock-on, and its time is that of the cause and the usual lag.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.domain import Breach, Role, Series, TimeRange
from models.forecasters.protocols import FloatArray
from models.thresholds import threshold_of

#: The other breach counts as a knock-on where it begins so long before or after its cause: what nearly ran out
#: may slow requests before it is at its threshold.
BEFORE_S, AFTER_S = 3_600, 7_200
#: So many breaches of a pair weigh as much as those of all pairs alike, and so many of those as chance.
WORTH = 2.0
#: A share that is not so many times as large as chance is none.
ABOVE_CHANCE = 3.0
#: Weights of the quantiles 0.1, 0.5 and 0.9 that stand for a whole distribution: Keefer and Bodily (1983).
SWANSON = (0.3, 0.4, 0.3)
#: What users feel; a disk does not fill because requests are slow.
EFFECTS = (Role.LATENCY, Role.ERRORS)

#: Metric of the cause, metric of the effect, and whether the cause is in a service that the effect's calls.
Kind = tuple[str, str, bool]
Edges = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What followed breaches of a cause.

    Attributes:
        causes, followed: breaches of the cause that were looked at, and how many of them the effect followed.
        share: how often it will follow the next, 0 to 1; where few were seen, drawn towards others alike.
        lag_s: quantiles 0.1, 0.5 and 0.9 of effect less cause, in seconds; below 0 where the effect came first.
    """

    causes: int
    followed: int
    share: float
    lag_s: tuple[float, float, float]

    def row(self) -> tuple[int, int, float, float, float, float]:
        return self.causes, self.followed, self.share, *self.lag_s

    @classmethod
    def of(cls, causes: int, followed: int, share: float, *lag_s: float) -> "Habit":
        low, middle, high = lag_s
        return cls(causes=causes, followed=followed, share=share, lag_s=(low, middle, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockOn:
    """A breach that is expected because another one is.

    Attributes:
        cause: the series that breaches first.
        habit: what followed such breaches in the past.
    """

    cause: Series
    habit: Habit
    breach: Breach


@dataclass(frozen=True, slots=True)
class KnockOns:
    """What is known of a fleet's knock-on breaches.

    Args:
        by_kind: of all pairs of a kind together.
        by_pair: (cause, effect) by `series_id`, of pairs whose cause breached at least once.
    """

    by_kind: Mapping[Kind, Habit] = field(default_factory=dict)
    by_pair: Mapping[tuple[int, int], Habit] = field(default_factory=dict)

    def expect(
        self,
        causes: Mapping[int, tuple[Series, Breach]],
        effects: Iterable[Series],
        edges: Edges,
        at: datetime,
    ) -> dict[int, KnockOn]:
        """For each effect the likeliest knock-on, by `series_id`; those that no cause foretells are left out.

        Args:
            causes: what may breach, by `series_id`; one that has just breached has probability 1, now.
            effects: what is not over yet.
            edges: (caller, callee).
            at: the present.
        """
        found: dict[int, KnockOn] = {}
        by_service = _by_service(effects)
        callers = _callers(edges)
        for cause_id, (cause, breach) in sorted(causes.items()):
            for effect, called in _effects(cause, by_service, callers):
                effect_id = effect.series_id
                kind = (cause.metric, effect.metric, called)
                habit = self.by_pair.get((cause_id, effect_id)) or self.by_kind.get(kind)
                if habit is None:
                    continue
                follows = _follow(breach, habit, effect, at)
                if effect_id not in found or found[effect_id].breach.probability < follows.probability:
                    found[effect_id] = KnockOn(cause=cause, habit=habit, breach=follows)
        return found

    def to_json(self) -> dict[str, Any]:
        """Rows, for JSON has no tuples as keys."""
        return {
            "by_kind": [[*kind, *habit.row()] for kind, habit in sorted(self.by_kind.items())],
            "by_pair": [[*pair, *habit.row()] for pair, habit in sorted(self.by_pair.items())],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "KnockOns":
        """What `to_json` gave."""
        return cls(
            by_kind={
                (cause, effect, called): Habit.of(*row) for cause, effect, called, *row in told["by_kind"]
            },
            by_pair={(cause, effect): Habit.of(*row) for cause, effect, *row in told["by_pair"]},
        )


def learn_knock_ons(
    breaches: Mapping[int, FloatArray], series: Iterable[Series], edges: Edges, *, span_s: float
) -> KnockOns:
    """Count what followed what.

    Args:
        breaches: series_id -> epoch seconds at which it breached, ascending, of each series that did.
        series: all that have a threshold.
        span_s: length of the time that was looked at, in seconds.
    """
    known = {one.series_id: one for one in series}
    by_service, callers = _by_service(known.values()), _callers(edges)
    counted: dict[Kind, list[_Pair]] = defaultdict(list)
    for cause_id, times in sorted(breaches.items()):
        if cause_id not in known:
            continue
        cause = known[cause_id]
        for effect, called in _effects(cause, by_service, callers):
            felt = breaches.get(effect.series_id, np.empty(0))
            counted[cause.metric, effect.metric, called].append(
                _Pair(
                    ids=(cause_id, effect.series_id),
                    causes=len(times),
                    lags_s=_lags(times, felt),
                    chance=1.0 - math.exp(-len(felt) * (BEFORE_S + AFTER_S) / span_s),
                )
            )
    by_kind: dict[Kind, Habit] = {}
    by_pair: dict[tuple[int, int], Habit] = {}
    for kind, pairs in sorted(counted.items()):
        lags = [lag for pair in pairs for lag in pair.lags_s]
        causes = sum(pair.causes for pair in pairs)
        chance = sum(pair.causes * pair.chance for pair in pairs) / causes
        share = _drawn(len(lags), causes, chance)
        if not lags or share < ABOVE_CHANCE * chance:
            continue
        low, middle, high = np.quantile(lags, [0.1, 0.5, 0.9]).tolist()
        habit = Habit(causes=causes, followed=len(lags), share=share, lag_s=(low, middle, high))
        by_kind[kind] = habit
        for pair in pairs:
            followed = len(pair.lags_s)
            by_pair[pair.ids] = replace(
                habit, causes=pair.causes, followed=followed, share=_drawn(followed, pair.causes, share)
            )
    return KnockOns(by_kind, by_pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """What one cause did to one effect; `chance` is how often any moment is near a breach of the effect."""

    ids: tuple[int, int]
    causes: int
    lags_s: list[float]
    chance: float


def _drawn(count: int, of: int, towards: float) -> float:
    """A share, drawn towards another as if `WORTH` more had been seen of that."""
    return (count + WORTH * towards) / (of + WORTH)


def _lags(causes: FloatArray, effects: FloatArray) -> list[float]:
    """Of each cause that the effect followed: how long after, in seconds."""
    apart = effects[None, :] - causes[:, None]
    near = (apart >= -BEFORE_S) & (apart <= AFTER_S)
    return [
        float(one[hit][np.argmin(np.abs(one[hit]))])
        for one, hit in zip(apart, near, strict=True)
        if hit.any()
    ]


def _by_service(series: Iterable[Series]) -> dict[str, list[Series]]:
    """Those that can be an effect, by service."""
    found: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        if one.role in EFFECTS and threshold_of(one) is not None:
            found[one.service].append(one)
    return found


def _callers(edges: Edges) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for caller, callee in sorted(set(edges)):
        found[callee].append(caller)
    return found


def _effects(
    cause: Series, by_service: Mapping[str, list[Series]], callers: Mapping[str, list[str]]
) -> Iterable[tuple[Series, bool]]:
    """Each series that a breach of the cause may reach, and whether it is one service up."""
    for effect in by_service.get(cause.service, ()):
        if effect.metric != cause.metric:
            yield effect, False
    for caller in callers.get(cause.service, ()):
        for effect in by_service.get(caller, ()):
            yield effect, True


def _follow(breach: Breach, habit: Habit, effect: Series, at: datetime) -> Breach:
    """The breach of the effect: as likely as the cause's times the habit, at its time and the lag."""
    threshold = threshold_of(effect)
    assert threshold is not None  # noqa: S101 - `_by_service` keeps no other
    told = breach.probability_by_horizon_s
    # What the cause does at the end of a horizon follows after it. What is certain at once has begun already.
    begun = float(min(told.values(), default=0.0) >= 1.0)
    horizons, shares = [0.0, *told], [begun, *told.values()]
    in_time = np.sum(
        [
            weight * np.interp(np.array(list(told)) - lag, horizons, shares)
            for weight, lag in zip(SWANSON, habit.lag_s, strict=True)
        ],
        axis=0,
    )
    return Breach(
        threshold=threshold,
        probability=habit.share * breach.probability,
        horizon_s=breach.horizon_s,
        when=None if breach.when is None else _later(breach.when, habit.lag_s, at),
        probability_by_horizon_s={
            horizon_s: habit.share * float(share) for horizon_s, share in zip(told, in_time, strict=True)
        },
    )


def _later(when: TimeRange, lag_s: tuple[float, float, float], at: datetime) -> TimeRange:
    """The sum of two ranges that know nothing of each other: middles add up, and distances from them as squares do."""
    low, middle, high = lag_s
    p50 = (when.p50 - at).total_seconds() + middle
    p10 = p50 - math.hypot((when.p50 - when.p10).total_seconds(), middle - low)
    p90 = p50 + math.hypot((when.p90 - when.p50).total_seconds(), high - middle)
    first, second, third = (at + timedelta(seconds=round(max(one, 0.0))) for one in (p10, p50, p90))
    return TimeRange(p10=first, p50=second, p90=third)
