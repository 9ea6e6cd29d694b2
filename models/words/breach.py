"""A breach as an SRE would say it: "disk of orders-db is full in 4 h 10 min, between 3 h and 6 h"."""

from datetime import datetime

from core.domain import Breach, Series
from core.durations import HOUR_S
from core.formatting import format_duration, format_value, format_when
from models.breach.cascade import Cascade, CascadeRate
from models.breach.growth import Growth
from models.series.thresholds import is_upward

#: A share of the present growth that nobody would call a growth of its own.
NOTHING = 0.01


def what_happens(series: Series, *, upward: bool = True) -> str:
    """`disk of orders-db is full`, `latency p99 of cart passes 250 ms`.

    Examples:
        >>> what_happens(Series(tenant="t", service="db", metric="disk_used_bytes", unit="bytes", limit=1e9))
        'disk of db is full'
    """
    metric, suffixes = series.metric, ("_seconds", "_bytes", "_total", "_ratio", "_used")
    for suffix in suffixes:
        metric = metric.removesuffix(suffix)
    name = metric.replace("_", " ")
    if upward and series.slo_threshold is None:
        word = "is full" if series.unit == "bytes" else "reaches its limit"
        return f"{name} of {series.service} {word}"
    verb = "passes" if upward else "falls below"
    return f"{name} of {series.service} {verb} {format_value(series.threshold or 0.0, series.unit)}"


def say(series: Series, breach: Breach, growth: Growth | None, *, at: datetime, upward: bool = True) -> str:
    """One sentence for the alert; `at` is the present."""
    what = what_happens(series, upward=upward)
    if breach.when is None:
        return f"{what}: not within {format_duration(breach.horizon_s)}"
    text = f"{what} {format_when(breach.when, at)}"
    # Growth away from the threshold is no reason for a breach, and would only puzzle the reader.
    if growth is not None and growth.weight > 0 and (growth.per_hour > 0) == upward:
        verb = "grew" if growth.per_hour > 0 else "fell"
        text += (
            f"; it {verb} {format_value(abs(growth.per_hour), series.unit)}/h over the last "
            f"{format_duration(growth.span_s)}; {_normal_pace(growth, series.unit)}"
        )
    return text


def say_follows(series: Series, found: Cascade, *, at: datetime, upward: bool = True) -> str:
    """One sentence for a breach that follows another one, and how often that happened before."""
    what = what_happens(series, upward=upward)
    if found.breach.when is not None:
        what += f" {format_when(found.breach.when, at)}"
    cause = what_happens(found.cause, upward=is_upward(found.cause))
    return f"{what}. Likely cause: {cause}. {_followed(found.rate)}."


def growth_reason(growth: Growth, unit: str) -> str:
    """Growth as a factor: `grew 84.8 MiB/h over 12 h; normally no growth`."""
    verb = "grew" if growth.per_hour > 0 else "fell"
    pace = format_value(abs(growth.per_hour), unit)
    return f"{verb} {pace}/h over {growth.span_s // HOUR_S} h; {_normal_pace(growth, unit)}"


def cascade_reason(found: Cascade) -> str:
    """A cascade as a factor; the cause is named in full where the earlier cases are its own."""
    cause = found.cause.name if found.rate.own else found.cause.metric
    return f"follows {cause}. {_followed(found.rate)}"


def _followed(rate: CascadeRate) -> str:
    """How often the effect followed in earlier cases, of this cause or of similar ones."""
    cases = "earlier cases" if rate.own else "earlier cases of similar series"
    return f"This followed in {rate.followed} of {rate.cause_breaches} {cases}"


def _normal_pace(growth: Growth, unit: str) -> str:
    """The usual growth in an hour; next to nothing of the present growth reads as no growth, not as 1.4e-05."""
    if abs(growth.usual_per_hour) < NOTHING * abs(growth.per_hour):
        return "normally no growth"
    return f"normally {format_value(growth.usual_per_hour, unit)}/h"


def say_over(series: Series, level: float, *, upward: bool = True) -> str:
    """That it is not about to happen, because it has."""
    side = "over" if upward else "under"
    threshold = format_value(series.threshold or 0.0, series.unit)
    return f"{series.name} is {side} its threshold already: {format_value(level, series.unit)} of {threshold}"


def say_taken_back(series: Series, horizon_s: int) -> str:
    """That an alert no longer holds."""
    return f"Withdrawn: {what_happens(series)} is no longer expected within {format_duration(horizon_s)}"
