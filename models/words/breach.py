"""Texts of breach signals: "disk of orders-db is full in 4 h 10 min, between 3 h and 6 h"."""

from datetime import datetime

from core.domain import Breach, Series, Signal
from core.entities import named_with_entity, title_of
from core.formatting import format_duration, format_moment, format_value, format_when
from core.metric_names import Resource, lower_is_worse, resource_of
from models.series.thresholds import breach_threshold_of, is_proposed, is_upward

#: A usual growth below this share of the present growth reads as no growth.
NEGLIGIBLE_SHARE = 0.01


def what_happens(series: Series) -> str:
    """The breach of a series as a clause: `disk of orders-db is full`, `latency p99 of cart passes 250 ms`.

    Examples:
        >>> what_happens(Series(tenant="t", service="db", metric="disk_used_bytes", unit="bytes", limit=1e9))
        'disk of db is full'
        >>> what_happens(Series(tenant="t", service="db", metric="disk_free_bytes", unit="bytes", limit=0.0))
        'disk free of db runs out'
    """
    metric, suffixes = series.metric, ("_seconds", "_bytes", "_total", "_ratio", "_used")
    for suffix in suffixes:
        metric = metric.removesuffix(suffix)
    name = f"{metric.replace('_', ' ')} of {named_with_entity(series.service, series.labels)}"
    upward = is_upward(series)
    if upward and series.slo_threshold is None and not is_proposed(series):
        resource = resource_of(series.metric)
        filled = series.unit == "bytes" or resource in (Resource.DISK, Resource.INODES)
        word = "is full" if filled else "reaches its limit"
        return f"{name} {word}"
    if series.slo_threshold is None and series.limit == 0:
        return f"{name} runs out"
    verb = "passes" if upward else "falls below"
    return f"{name} {verb} {_threshold_text(series)}"


def expected_breach(series: Series, breach: Breach, at: datetime, growth: str = "") -> str:
    """One sentence about a breach that a series approaches by itself.

    Args:
        at: the present.
        growth: from `growth_reason`, if growth is the reason.
    """
    what = what_happens(series)
    if breach.when is None:
        return f"{what}: not within {format_duration(breach.horizon_s)}"
    return f"{what} {format_when(breach.when, at)}" + (f"; it {growth}" if growth else "")


def expected_cascade(effect: Series, breach: Breach, cause: Series, earlier: str, at: datetime) -> str:
    """Sentences about a breach that follows the breach of another series.

    Args:
        breach: of the effect.
        earlier: from `earlier_cases`.
        at: the present.
    """
    what = what_happens(effect)
    if breach.when is not None:
        what += f" {format_when(breach.when, at)}"
    return f"{what}. Likely cause: {what_happens(cause)}. {earlier}."


def over_threshold(series: Series, level: float, since: datetime | None) -> str:
    """One sentence about a series that is over its threshold now.

    Args:
        level: the value now.
        since: when it crossed the threshold; null if unknown.
    """
    side = "over" if is_upward(series) else "below"
    value = format_value(level, series.unit)
    began = "" if since is None else f" since {format_moment(since)}"
    threshold = f"its {threshold_word(proposed=is_proposed(series))} of {_threshold_value(series)}"
    return f"{title_of(series)} is {side} {threshold}{began}; the value is {value}"


def threshold_word(*, proposed: bool) -> str:
    """What a threshold is called; a proposed one is always marked, because nobody has accepted it."""
    return "proposed threshold" if proposed else "threshold"


def _threshold_value(series: Series) -> str:
    return format_value(breach_threshold_of(series) or 0.0, series.unit)


def _threshold_text(series: Series) -> str:
    """`250 ms`, or `its proposed threshold of 250 ms`."""
    value = _threshold_value(series)
    return f"its {threshold_word(proposed=True)} of {value}" if is_proposed(series) else value


def is_over_threshold(signal: Signal) -> bool:
    """Whether the series of a breach signal had crossed its threshold when the signal was made."""
    if signal.breach is None or signal.value is None:
        return False
    if is_downward(signal):
        return signal.value <= signal.breach.threshold
    return signal.value >= signal.breach.threshold


def is_downward(signal: Signal) -> bool:
    """Whether the bad side of a breach signal is below its threshold."""
    if signal.breach is None or signal.breach.upward is None:
        return lower_is_worse(signal.metric or "")
    return not signal.breach.upward


def withdrawn_breach(series: Series, horizon_s: int) -> str:
    """One sentence about a predicted breach that is not expected any more."""
    return f"Withdrawn, no longer expected within {format_duration(horizon_s)}: {what_happens(series)}"


def growth_reason(per_hour: float, span_s: int, usual_per_hour: float, unit: str) -> str:
    """The growth of a series, with its usual growth for comparison.

    Args:
        per_hour: growth over the last `span_s`.
        usual_per_hour: usual growth at this time of day.

    Examples:
        >>> growth_reason(2.0**31, 7_200, 0.0, "bytes")
        'grew 2 GiB/h over the last 2 h; normally no growth'
    """
    verb = "grew" if per_hour > 0 else "fell"
    pace = f"{format_value(abs(per_hour), unit)}/h over the last {format_duration(span_s)}"
    if abs(usual_per_hour) < NEGLIGIBLE_SHARE * abs(per_hour):
        return f"{verb} {pace}; normally no growth"
    return f"{verb} {pace}; normally {format_value(usual_per_hour, unit)}/h"


def cascade_reason(cause: str, earlier: str) -> str:
    """The cascade that a breach belongs to; `earlier` is from `earlier_cases`."""
    return f"follows {cause}. {earlier}"


def earlier_cases(followed: int, of: int, *, own: bool) -> str:
    """How often the effect followed in earlier cases.

    Args:
        own: whether these were breaches of the same two series; else of similar ones.
    """
    cases = "earlier cases" if own else "earlier cases of similar series"
    return f"This followed in {followed} of {of} {cases}"


def probability_reason(probability: float, begins_at: float, ends_below: float) -> str:
    """Why the probability of a breach is or is not enough for an alert."""
    return f"the probability is {probability:.0%}; an alert begins at {begins_at:.0%} and ends below {ends_below:.0%}"
