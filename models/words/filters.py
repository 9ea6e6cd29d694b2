"""Reasons of the filters that signals must pass to become alerts."""

import math

from core.domain import Role, Series
from core.formatting import format_value

#: A value past its threshold needs no usual level to be reported.
PAST_THRESHOLD_ANYWAY = "past its threshold; this counts whether or not the values have a usual level"


def maintenance_reason(*, planned: bool) -> str:
    """Whether a maintenance window explains what happens."""
    return "within a planned maintenance window" if planned else "in no planned maintenance window"


def accepted_reason(*, proposed: bool, passed: bool) -> str:
    """Whether a prediction about a threshold matters."""
    if not proposed:
        return "the threshold is a limit or an SLO"
    if passed:
        return "values are past the proposed threshold"
    return "nobody has accepted the proposed threshold, and the values have not reached it"


def history_reason(days: float, needed: float) -> str:
    """How much history the baseline is learned from."""
    return f"{days:z.1f} days of clean history; more than {needed:z.0f} are needed"


def predictable_reason(z: float, *, passed: bool) -> str:
    """Whether the values return to a usual level; `z` of the variance ratio, NaN = unknown."""
    if math.isnan(z):
        return "too little history to know whether the values return to a usual level"
    text = "the values return to a usual level" if passed else "the values have no usual level (random walk)"
    return f"{text}; variance ratio z = {z:z.1f}"


def inside_reason() -> str:
    """Why a value that the detectors find unlikely is no alert."""
    return "the value lies inside the expected range"


def noticeable_reason(series: Series, least: float, *, passed: bool) -> str:
    """Whether a difference is large enough to matter."""
    side = "at least" if passed else "less than"
    return f"the difference from the expected value is {side} {format_value(least, series.unit)}"


def threshold_reason(series: Series, threshold: float, share: float, excuse: str, *, crossed: bool) -> str:
    """How near a value came to the threshold.

    Args:
        share: of the way from the expected value to the threshold, that the value has gone.
        excuse: why the deviation needs no alert before it crosses the threshold; "" = nothing.
    """
    edge = format_value(threshold, series.unit)
    if crossed:
        return f"past the threshold of {edge}"
    way = f"{share:.0%} of the way from the expected value to the threshold of {edge}"
    return way + (f"; {excuse}" if excuse else "")


def no_threshold_reason(excuse: str) -> str:
    """Why a deviation of a series without threshold needs no alert."""
    return f"{excuse}; the series has no threshold"


def used_share_reason(share: float) -> str:
    """How near the used share of a resource came to all of it; `share` of the way from the expected value."""
    return f"{share:.0%} of the way from the expected value to all of it"


def traffic_reason(*, less: bool) -> str:
    """Which deviations of traffic matter."""
    if less:
        return "less traffic than expected: requests of users may not arrive"
    return "more traffic than expected: this matters only if another metric reacts"


def side_reason(role: Role, *, above: bool, upward: bool = True) -> str:
    """Which deviations of a series without threshold matter; `upward` as of `models.series.thresholds.is_upward`."""
    side = "above" if above else "below"
    bad = f"high values of {role}" if upward else "low values"
    return f"{side} the expected value; {bad} are bad"
