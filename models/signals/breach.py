"""Which breaches are said, from what was seen of every series: begun, going on, or taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.domain import (
    Band,
    Breach,
    Event,
    Factor,
    FilterResult,
    ModelRef,
    Role,
    Series,
    ServiceEdges,
    Severity,
    Signal,
    SignalKind,
    stable_id,
)
from core.durations import HOUR_S
from models.breach.cascade import MAX_LAG_S, Cascade, CascadeCause, CascadeModel
from models.breach.correction import ALERT_FROM
from models.breach.growth import Growth
from models.breach.outlook import BREACH_HORIZONS_S, BreachOutlook, BreachPattern
from models.forecast.bundle import Prediction
from models.series.maintenance import is_planned
from models.series.thresholds import is_past, is_upward
from models.words.breach import cascade_reason, growth_reason, say, say_follows, say_over, say_taken_back

#: An alert begins at the first probability and ends below the second: in between it stays as it is.
RAISE_AT, DROP_BELOW = ALERT_FROM, 0.25
#: A breach so soon is critical: somebody should be woken.
SOON_S = BREACH_HORIZONS_S[0]
#: It is said to be soon once so much of its probability lies within that time. Whether it comes at all is hardly known
#: better by waiting, and when it comes is: without this, who looks every five minutes would say it too early.
SURE_OF_TIME = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOutlook:
    """What was seen of one series: its outlook without the courses, which are large.

    Attributes:
        impact, impact_since: see `BreachOutlook`.
        band: what is expected at the next step.
    """

    series: Series
    pattern: BreachPattern
    breach: Breach
    growth: Growth
    level: float
    impact: Breach
    impact_since: datetime | None
    band: Band

    @classmethod
    def of(cls, series: Series, outlook: BreachOutlook, prediction: Prediction) -> "SeriesOutlook":
        expected = float(prediction.yhat[0])
        return cls(
            series=series,
            pattern=outlook.pattern,
            breach=outlook.breach,
            growth=outlook.growth,
            level=outlook.level,
            impact=outlook.impact,
            impact_since=outlook.impact_since,
            band=Band(
                expected=expected,
                lower=min(float(prediction.lower[0.95][0]), expected),
                upper=max(float(prediction.upper[0.95][0]), expected),
            ),
        )

    @property
    def is_over(self) -> bool:
        return self.pattern is BreachPattern.OVER

    def as_cause(self, now: datetime) -> CascadeCause | None:
        """What it may set off others as; null where nothing is to be expected of it, or no more."""
        if self.impact_since is not None:
            since_s = (now - self.impact_since).total_seconds()
            return (
                CascadeCause(series=self.series, breach=self.impact, since_s=since_s)
                if since_s < MAX_LAG_S
                else None
            )
        if self.impact.probability < DROP_BELOW:
            return None
        return CascadeCause(series=self.series, breach=self.impact)


def judge(
    seen: Mapping[int, SeriesOutlook],
    cascades: CascadeModel,
    edges: ServiceEdges,
    open_signals: Mapping[int, Signal],
    model: ModelRef,
    now: datetime,
    events: Sequence[Event] = (),
) -> list[Signal]:
    """The signals that follow: new ones, open ones going on, and open ones taken back.

    A series breaches by its own course or because another one does, whichever is likelier.

    Args:
        seen: by `series_id`.
        events: maintenance windows among them explain what is disturbed in them.
        edges: the service graph, (caller, callee).
        open_signals: what was said and is not over, by `series_id`.
    """
    followed = follow(seen, cascades, edges, now, events)
    disturbed = disturbed_by_plan(seen, now, events) - set(followed)
    signals: dict[int, Signal] = {}
    # Causes first: what follows from one belongs to the same incident, which began with the cause.
    for series_id in sorted(seen, key=lambda key: (key in followed, key)):
        one, before, cause = seen[series_id], open_signals.get(series_id), followed.get(series_id)
        since = now
        if cause is not None:
            cause_id = cause.cause.series_id
            told = signals.get(cause_id) or open_signals.get(cause_id)
            since = told.started_at if told is not None else now
        signal = _judge(one, cause, before, since, model, now, planned=series_id in disturbed)
        if signal is not None:
            signals[series_id] = signal
    return list(signals.values())


def disturbed_by_plan(seen: Mapping[int, SeriesOutlook], now: datetime, events: Sequence[Event]) -> set[int]:
    """Series whose course tells nothing now, for their service is in maintenance."""
    return {
        key
        for key, one in seen.items()
        if is_disturbed(one.series) and is_planned(one.series.service, now, now, events)
    }


def is_disturbed(series: Series) -> bool:
    """Whether maintenance moves it: requests and what waits for them; a disk or a memory goes on filling."""
    return series.role is not Role.CAPACITY


def follow(
    seen: Mapping[int, SeriesOutlook],
    cascades: CascadeModel,
    edges: ServiceEdges,
    now: datetime,
    events: Sequence[Event] = (),
) -> dict[int, Cascade]:
    """The knock-on breaches that are likelier than what the series shows itself, by `series_id`."""
    disturbed = disturbed_by_plan(seen, now, events)
    causes = {
        key: cause
        for key, one in seen.items()
        if key not in disturbed and (cause := one.as_cause(now)) is not None
    }
    effects = [one.series for one in seen.values() if not one.is_over]
    expected = cascades.expect(causes, effects, edges, now)
    return {
        key: found
        for key, found in expected.items()
        if key in disturbed or found.breach.probability > seen[key].breach.probability
    }


def _judge(
    seen: SeriesOutlook,
    cause: Cascade | None,
    before: Signal | None,
    since: datetime,
    model: ModelRef,
    now: datetime,
    *,
    planned: bool,
) -> Signal | None:
    """The signal of one series, begun at `since` where it is new; null where nothing is to be said."""
    series = seen.series
    breach = seen.breach if cause is None else cause.breach
    if breach.probability < DROP_BELOW:
        if before is None:
            return None
        return replace(before, ended_at=now, summary=say_taken_back(series, breach.horizon_s))
    was_sent = before is not None and before.suppressed_by is None
    started_at = before.started_at if before is not None else since
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
        summary=_say(seen, cause, now),
        severity=Severity.CRITICAL
        if seen.is_over or _is_soon(series, breach, before, planned=planned)
        else Severity.WARNING,
        value=seen.level,
        band=seen.band,
        score=breach.probability,
        filters=(
            FilterResult(
                name="likely",
                passed=breach.probability >= RAISE_AT or was_sent,
                reason=f"the probability is {breach.probability:.0%}; an alert begins at {RAISE_AT:.0%} "
                f"and ends below {DROP_BELOW:.0%}",
            ),
            FilterResult(
                name="unplanned",
                passed=not planned or was_sent,
                reason="within a planned maintenance window"
                if planned
                else "in no planned maintenance window",
            ),
        ),
        breach=breach,
        factors=_factors(seen, cause),
        model=model,
    )


def _say(seen: SeriesOutlook, cause: Cascade | None, now: datetime) -> str:
    upward = is_upward(seen.series)
    if seen.is_over:
        return say_over(seen.series, seen.level, upward=upward)
    if cause is not None:
        return say_follows(seen.series, cause, at=now, upward=upward)
    return say(seen.series, seen.breach, seen.growth, at=now, upward=upward)


def _is_soon(series: Series, breach: Breach, before: Signal | None, *, planned: bool) -> bool:
    """Whether it is said to come within `SOON_S`: from when that is likely until it is unlikely."""
    in_time = breach.probability_by_horizon_s[SOON_S]
    if before is not None and before.severity is Severity.CRITICAL and not _was_over(series, before):
        return in_time >= DROP_BELOW
    return not planned and in_time >= max(RAISE_AT, SURE_OF_TIME * breach.probability)


def _was_over(series: Series, before: Signal) -> bool:
    if before.value is None or before.breach is None:
        return False
    return bool(is_past(np.array([before.value]), before.breach.threshold, upward=is_upward(series))[0])


def _factors(seen: SeriesOutlook, cause: Cascade | None) -> tuple[Factor, ...]:
    if cause is not None:
        return (
            Factor(
                name=f"follows_{cause.cause.metric}",
                value=cause.rate.share,
                contribution=cause.breach.probability,
                text=cascade_reason(cause),
            ),
        )
    growth, unit = seen.growth, seen.series.unit
    if growth.weight == 0 or (growth.per_hour > 0) != is_upward(seen.series):
        return ()
    hours = growth.span_s // HOUR_S
    return (
        Factor(
            name=f"growth_{hours}h",
            value=growth.per_hour,
            contribution=growth.weight,
            text=growth_reason(growth, unit),
        ),
    )


def urgency(signal: Signal) -> tuple[float, str]:
    """What comes first is first."""
    when = signal.breach.when if signal.breach else None
    return (when.p50.timestamp() if when else 0.0, signal.signal_id)
