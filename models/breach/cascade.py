"""Knock-on breaches: what passes its threshold because something else does.

Errors and latencies often show nothing before they jump: the pool that they wait for ran out, or the disk of a service
that is called. No past of their own tells it beforehand. The fleet's past does: how often a breach of the one was
followed by a breach of the other, and how long after. Such a share times the probability that the cause breaches is
the probability of the knock-on, and its time is that of the cause and the usual lag.

A disk at 98 % is a breach, and requests fail when it is full: minutes later where it fills fast, hours where it fills
slowly. So the cause counts from the level at which it was felt in the past, wherever that lies between its threshold
and its limit. And what usually follows within minutes does not follow any more where it has not within the hour: once
the cause is there, only the lags that are still to come speak for the knock-on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.domain import Breach, Role, Series, TimeRange
from models.forecast.protocols import FloatArray
from models.series.thresholds import is_upward, threshold_of

#: The other breach counts as a knock-on where it begins so long before or after its cause: what nearly ran out
#: may slow requests before it is at its threshold.
BEFORE_S, AFTER_S = 3_600, 7_200
#: Quantiles of the lag, each of which stands for a fifth of all.
LAGS_AT = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Where a cause may begin to be felt, as shares of the way from its threshold to its limit.
WAYS = (0.0, 0.25, 0.5, 0.75)
#: What users feel; a disk does not fill because requests are slow.
EFFECTS = (Role.LATENCY, Role.ERRORS)

#: Metric of the cause, metric of the effect, and whether the cause is in a service that the effect's calls.
CascadeKind = tuple[str, str, bool]
Edges = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRate:
    """What followed breaches of a cause.

    Attributes:
        causes, followed: breaches of the cause that were looked at, and how many of them the effect followed.
        own: these are breaches of this cause; false: of others alike, for none of this one is known that was foreseen.
        share: how often it will follow the next, 0 to 1; where few were seen, drawn towards others alike.
        lag_s: quantiles of effect less cause, in seconds, at `LAGS_AT`; below 0 where the effect came first.
    """

    causes: int
    followed: int
    own: bool
    share: float
    lag_s: tuple[float, ...]

    def row(self) -> tuple[float, ...]:
        return self.causes, self.followed, self.own, self.share, *self.lag_s

    @classmethod
    def of(cls, causes: int, followed: int, own: bool, share: float, *lag_s: float) -> "CascadeRate":
        return cls(causes=causes, followed=followed, own=own, share=share, lag_s=lag_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeCause:
    """What may set off others.

    Attributes:
        breach: of the level at which it is felt, see `CascadeModel.impact_level`.
        since_s: for how long it has been past that level, in seconds; null where it is not.
    """

    series: Series
    breach: Breach
    since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A breach that is expected because another one is.

    Attributes:
        cause: the series that breaches first.
        habit: what followed such breaches in the past.
    """

    cause: Series
    habit: CascadeRate
    breach: Breach


@dataclass(frozen=True, slots=True)
class CascadeModel:
    """What is known of a fleet's knock-on breaches.

    Args:
        by_kind: of all pairs of a kind together.
        by_pair: (cause, effect) by `series_id`; others are judged by their kind.
        ways: how far from its threshold to its limit a cause is when it begins to be felt, by metric; one of `WAYS`.
    """

    by_kind: Mapping[CascadeKind, CascadeRate] = field(default_factory=dict)
    by_pair: Mapping[tuple[int, int], CascadeRate] = field(default_factory=dict)
    ways: Mapping[str, float] = field(default_factory=dict)

    def impact_level(self, series: Series) -> float | None:
        """The value from which others feel it; null where it has no threshold."""
        return level_between(series, self.ways.get(series.metric, WAYS[0]))

    def expect(
        self,
        causes: Mapping[int, CascadeCause],
        effects: Iterable[Series],
        edges: Edges,
        at: datetime,
    ) -> dict[int, Cascade]:
        """For each effect the likeliest knock-on, by `series_id`; those that no cause foretells are left out.

        Args:
            causes: what may breach or has just breached, by `series_id`.
            effects: what is not over yet.
            edges: (caller, callee).
            at: the present.
        """
        found: dict[int, Cascade] = {}
        by_service = series_by_service(effects)
        callers = callers_of(edges)
        for cause_id, cause in sorted(causes.items()):
            for effect, called in effects_of(cause.series, by_service, callers):
                effect_id = effect.series_id
                kind = (cause.series.metric, effect.metric, called)
                habit = self.by_pair.get((cause_id, effect_id)) or self.by_kind.get(kind)
                if habit is None:
                    continue
                follows = _follow(cause, habit, effect, at)
                if effect_id not in found or found[effect_id].breach.probability < follows.probability:
                    found[effect_id] = Cascade(cause=cause.series, habit=habit, breach=follows)
        return found

    def to_json(self) -> dict[str, Any]:
        """Rows, for JSON has no tuples as keys."""
        return {
            "by_kind": [[*kind, *habit.row()] for kind, habit in sorted(self.by_kind.items())],
            "by_pair": [[*pair, *habit.row()] for pair, habit in sorted(self.by_pair.items())],
            "ways": dict(self.ways),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "CascadeModel":
        """What `to_json` gave."""
        return cls(
            by_kind={
                (cause, effect, called): CascadeRate.of(*row)
                for cause, effect, called, *row in told["by_kind"]
            },
            by_pair={(cause, effect): CascadeRate.of(*row) for cause, effect, *row in told["by_pair"]},
            ways=told["ways"],
        )


def level_between(series: Series, way: float) -> float | None:
    """The value that lies so far on the way from the threshold to the limit; null where there is no threshold.

    An SLO has nothing beyond it, nor has what runs low: there it is the threshold itself.
    """
    threshold = threshold_of(series)
    if threshold is None or series.slo_threshold is not None or series.limit is None or not is_upward(series):
        return threshold
    return threshold + way * (series.limit - threshold)


def series_by_service(series: Iterable[Series]) -> dict[str, list[Series]]:
    """Those that can be an effect, by service."""
    found: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        if one.role in EFFECTS and threshold_of(one) is not None:
            found[one.service].append(one)
    return found


def callers_of(edges: Edges) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for caller, callee in sorted(set(edges)):
        found[callee].append(caller)
    return found


def effects_of(
    cause: Series, by_service: Mapping[str, list[Series]], callers: Mapping[str, list[str]]
) -> Iterable[tuple[Series, bool]]:
    """Each series that a breach of the cause may reach, and whether it is one service up."""
    for effect in by_service.get(cause.service, ()):
        if effect.metric != cause.metric:
            yield effect, False
    for caller in callers.get(cause.service, ()):
        for effect in by_service.get(caller, ()):
            yield effect, True


def _follow(cause: CascadeCause, habit: CascadeRate, effect: Series, at: datetime) -> Breach:
    """The breach of the effect: as likely as the cause's times the habit, at its time and the lag."""
    threshold = threshold_of(effect)
    assert threshold is not None  # noqa: S101 - `series_by_service` keeps no other
    breach, lag_s = cause.breach, np.array(habit.lag_s)
    told = np.array(list(breach.probability_by_horizon_s))
    if cause.since_s is None:
        probability = habit.share * breach.probability
        seconds, shares = _course(breach, at)
        in_time = habit.share * np.interp(told[:, None] - lag_s, seconds, shares).mean(axis=1)
        when = None if breach.when is None else _later(breach.when, habit.lag_s, at)
    else:
        # Bayes: of those that follow, only the late ones have not followed by now.
        left_s = lag_s[lag_s > cause.since_s] - cause.since_s
        follows = habit.share * len(left_s) / len(lag_s)
        probability = follows / (1.0 - habit.share + follows) if follows else 0.0
        in_time = probability * (left_s <= told[:, None]).sum(axis=1) / max(len(left_s), 1)
        when = _range(at, *np.quantile(left_s, (0.0, 0.5, 1.0))) if len(left_s) else None
    return Breach(
        threshold=threshold,
        probability=probability,
        horizon_s=breach.horizon_s,
        when=when,
        probability_by_horizon_s=dict(
            zip(told.tolist(), np.minimum(in_time, probability).tolist(), strict=True)
        ),
    )


def _course(breach: Breach, at: datetime) -> tuple[FloatArray, FloatArray]:
    """How likely the breach has come by then: seconds from now, ascending, and shares."""
    known = {0.0: 0.0} | {float(key): share for key, share in breach.probability_by_horizon_s.items()}
    if breach.when is not None:
        for share, moment in zip(
            (0.1, 0.5, 0.9), (breach.when.p10, breach.when.p50, breach.when.p90), strict=True
        ):
            known[max((moment - at).total_seconds(), 1.0)] = share * breach.probability
    seconds = np.array(sorted(known))
    return seconds, np.maximum.accumulate(np.array([known[one] for one in sorted(known)]))


def _later(when: TimeRange, lag_s: Sequence[float], at: datetime) -> TimeRange:
    """The sum of two ranges that go together: what fills slowly is late, and is felt late."""
    seconds = ((moment - at).total_seconds() for moment in (when.p10, when.p50, when.p90))
    lags = (lag_s[0], lag_s[len(lag_s) // 2], lag_s[-1])
    return _range(at, *(one + lag for one, lag in zip(seconds, lags, strict=True)))


def _range(at: datetime, *seconds: float) -> TimeRange:
    p10, p50, p90 = (at + timedelta(seconds=round(max(float(one), 0.0))) for one in seconds)
    return TimeRange(p10=p10, p50=p50, p90=p90)
