"""Builds breach signals from the outlooks of all series: new, continued and withdrawn ones."""

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
    TimeRange,
    stable_id,
)
from core.durations import HOUR_S
from models.breach.cascade import MAX_LAG_S, Cascade, CascadeCause, CascadeModel
from models.breach.correction import ALERT_FROM
from models.breach.growth import Growth
from models.breach.outlook import BREACH_HORIZONS_S, BreachOutlook, BreachPattern
from models.forecast.bundle import Prediction
from models.series.maintenance import is_planned
from models.series.thresholds import is_past, is_proposed, is_upward
from models.words.breach import (
    cascade_reason,
    earlier_cases,
    expected_breach,
    expected_cascade,
    growth_reason,
    over_threshold,
    probability_reason,
    withdrawn_breach,
)
from models.words.filters import accepted_reason, maintenance_reason

#: An alert begins at the first probability and ends below the second. In between it stays as it is.
RAISE_AT, DROP_BELOW = ALERT_FROM, 0.25
#: A breach within this time is critical: somebody should be woken.
SOON_S = BREACH_HORIZONS_S[0]
#: A breach counts as soon if this share of its probability lies within that time. Without this rule, short watch cycles
#: would report it as soon too early: waiting hardly changes whether it comes, but shows better when it comes.
SURE_OF_TIME = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOutlook:
    """The outlook of one series without its simulated paths, which are large.

    Attributes:
        impact, impact_since, over_since: see `BreachOutlook`.
        band: expected values at the next step.
    """

    series: Series
    pattern: BreachPattern
    breach: Breach
    growth: Growth
    level: float
    impact: Breach
    impact_since: datetime | None
    over_since: datetime | None = None
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
            over_since=outlook.over_since,
            band=Band(
                expected=expected,
                lower=min(float(prediction.lower[0.95][0]), expected),
                upper=max(float(prediction.upper[0.95][0]), expected),
            ),
        )

    @property
    def is_over(self) -> bool:
        return self.pattern is BreachPattern.OVER

    @property
    def breach_since_crossing(self) -> Breach:
        """The breach of a series that is over its threshold: its time is when the series crossed the threshold."""
        if self.over_since is None:
            return self.breach
        crossed = TimeRange(p10=self.over_since, p50=self.over_since, p90=self.over_since)
        return replace(self.breach, when=crossed)

    def as_cause(self, now: datetime) -> CascadeCause | None:
        """The series as the cause of other breaches; null if it causes none, or none any more."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachContext:
    """What is known besides the outlooks of the series.

    Attributes:
        now: the present.
        cascades: which breaches follow which others.
        edges: the service graph, (caller, callee).
        events: maintenance windows among them explain what happens in them.
    """

    now: datetime
    cascades: CascadeModel
    edges: ServiceEdges = ()
    events: Sequence[Event] = ()


def breach_signals(
    outlooks: Mapping[int, SeriesOutlook],
    open_signals: Mapping[int, Signal],
    model: ModelRef,
    context: BreachContext,
) -> list[Signal]:
    """New, continued and withdrawn signals.

    A series breaches by its own course or because another series does, whichever is more likely.

    Args:
        outlooks: by `series_id`.
        open_signals: signals that have not ended, by `series_id`.
    """
    cascades = likely_cascades(outlooks, context)
    disturbed = disturbed_by_maintenance(outlooks, context) - set(cascades)
    signals: dict[int, Signal] = {}
    # Causes first: the signal of an effect begins with its cause, so that both belong to the same incident.
    for series_id in sorted(outlooks, key=lambda key: (key in cascades, key)):
        before, cascade = open_signals.get(series_id), cascades.get(series_id)
        since = context.now
        if cascade is not None:
            cause = signals.get(cascade.cause.series_id) or open_signals.get(cascade.cause.series_id)
            since = cause.started_at if cause is not None else context.now
        finding = _Finding(
            outlook=outlooks[series_id],
            cascade=cascade,
            before=before,
            started_at=before.started_at if before is not None else since,
            now=context.now,
            in_maintenance=series_id in disturbed,
        )
        signal = finding.signal(model)
        if signal is not None:
            signals[series_id] = signal
    return list(signals.values())


def disturbed_by_maintenance(outlooks: Mapping[int, SeriesOutlook], context: BreachContext) -> set[int]:
    """Series whose values mean nothing now, because their service is in maintenance."""
    return {
        key
        for key, one in outlooks.items()
        if is_disturbed(one.series)
        and is_planned(one.series.service, context.now, context.now, context.events)
    }


def is_disturbed(series: Series) -> bool:
    """Whether maintenance changes the series. Requests and queues stop; a disk or memory continues to fill."""
    return series.role is not Role.CAPACITY


def likely_cascades(outlooks: Mapping[int, SeriesOutlook], context: BreachContext) -> dict[int, Cascade]:
    """Cascades that are more likely than a breach by the series' own course, by `series_id` of the effect."""
    disturbed = disturbed_by_maintenance(outlooks, context)
    causes = {
        key: cause
        for key, one in outlooks.items()
        if key not in disturbed and (cause := one.as_cause(context.now)) is not None
    }
    effects = [one.series for one in outlooks.values() if not one.is_over]
    expected = context.cascades.expect(causes, effects, context.edges, context.now)
    return {
        key: found
        for key, found in expected.items()
        if key in disturbed or found.breach.probability > outlooks[key].breach.probability
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What the signal of one series is built from.

    Attributes:
        cascade: the breach of another series that this one follows; null if it breaches by its own course.
        before: the open signal of the series; null if there is none.
        in_maintenance: whether maintenance disturbs the series.
    """

    outlook: SeriesOutlook
    cascade: Cascade | None
    before: Signal | None
    started_at: datetime
    now: datetime
    in_maintenance: bool

    @property
    def breach(self) -> Breach:
        if self.outlook.is_over:
            return self.outlook.breach_since_crossing
        return self.outlook.breach if self.cascade is None else self.cascade.breach

    def signal(self, model: ModelRef) -> Signal | None:
        """New, continued or withdrawn; null if a breach is unlikely and no signal is open."""
        series, breach, before = self.outlook.series, self.breach, self.before
        if breach.probability < DROP_BELOW:
            if before is None:
                return None
            return replace(before, ended_at=self.now, summary=withdrawn_breach(series, breach.horizon_s))
        # Nobody has accepted a proposed threshold, so nobody is woken because of it.
        critical = (self.outlook.is_over or self._is_soon()) and not is_proposed(series)
        return Signal(
            signal_id=before.signal_id
            if before is not None
            else stable_id(series.tenant, "breach", str(series.series_id), self.started_at.isoformat()),
            tenant=series.tenant,
            kind=SignalKind.BREACH,
            service=series.service,
            metric=series.metric,
            series_id=series.series_id,
            labels=series.labels,
            unit=series.unit,
            started_at=self.started_at,
            peak_at=None if breach.when is None else breach.when.p50,
            summary=self._summary(),
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            value=self.outlook.level,
            band=self.outlook.band,
            score=breach.probability,
            filters=self._filters(),
            breach=replace(breach, upward=is_upward(series), proposed=is_proposed(series)),
            factors=self._factors(),
            model=model,
        )

    def _filters(self) -> tuple[FilterResult, ...]:
        """A signal that was sent stays: maintenance or a lower probability does not suppress it later."""
        was_sent = self.before is not None and self.before.suppressed_by is None
        probability = self.breach.probability
        return (
            FilterResult(
                name="likely",
                passed=probability >= RAISE_AT or was_sent,
                reason=probability_reason(probability, begins_at=RAISE_AT, ends_below=DROP_BELOW),
            ),
            FilterResult(
                name="unplanned",
                passed=not self.in_maintenance or was_sent,
                reason=maintenance_reason(planned=self.in_maintenance),
            ),
            self._accepted(was_sent=was_sent),
        )

    def _accepted(self, *, was_sent: bool) -> FilterResult:
        """Before values are past it, a proposed threshold is worth no alert: noise near it looks like an approach."""
        proposed = is_proposed(self.outlook.series)
        passed = not proposed or self.outlook.is_over or was_sent
        return FilterResult(
            name="accepted", passed=passed, reason=accepted_reason(proposed=proposed, passed=passed)
        )

    def _summary(self) -> str:
        one = self.outlook
        if one.is_over:
            return over_threshold(one.series, one.level, one.over_since)
        if self.cascade is not None:
            found = self.cascade
            return expected_cascade(one.series, found.breach, found.cause, _earlier(found), self.now)
        return expected_breach(one.series, one.breach, self.now, self._growth())

    def _is_soon(self) -> bool:
        """Whether the breach comes within `SOON_S`: from when this is likely until it is unlikely."""
        in_time, before = self.breach.probability_by_horizon_s[SOON_S], self.before
        if (
            before is not None
            and before.severity is Severity.CRITICAL
            and not _was_over(self.outlook.series, before)
        ):
            return in_time >= DROP_BELOW
        return not self.in_maintenance and in_time >= max(RAISE_AT, SURE_OF_TIME * self.breach.probability)

    def _factors(self) -> tuple[Factor, ...]:
        found, growth = self.cascade, self.outlook.growth
        if found is not None:
            # The cause is named in full if the earlier cases are its own.
            cause = found.cause.name if found.rate.own else found.cause.metric
            return (
                Factor(
                    name=f"follows_{found.cause.metric}",
                    value=found.rate.share,
                    contribution=found.breach.probability,
                    text=cascade_reason(cause, _earlier(found)),
                ),
            )
        reason = self._growth()
        if not reason:
            return ()
        return (
            Factor(
                name=f"growth_{growth.span_s // HOUR_S}h",
                value=growth.per_hour,
                contribution=growth.weight,
                text=reason,
            ),
        )

    def _growth(self) -> str:
        """The growth as a reason; "" if there is none, or if it leads away from the threshold."""
        growth, series = self.outlook.growth, self.outlook.series
        if growth.weight == 0 or (growth.per_hour > 0) != is_upward(series):
            return ""
        return growth_reason(growth.per_hour, growth.span_s, growth.usual_per_hour, series.unit)


def _earlier(found: Cascade) -> str:
    return earlier_cases(found.rate.followed, found.rate.cause_breaches, own=found.rate.own)


def _was_over(series: Series, before: Signal) -> bool:
    if before.value is None or before.breach is None:
        return False
    return bool(is_past(np.array([before.value]), before.breach.threshold, upward=is_upward(series))[0])


def urgency(signal: Signal) -> tuple[float, str]:
    """Sort key: the earliest breach first."""
    when = signal.breach.when if signal.breach else None
    return (when.p50.timestamp() if when else 0.0, signal.signal_id)
