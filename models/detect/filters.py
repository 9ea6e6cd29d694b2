"""The four filters that a signal must pass to become an alert, each with its reason."""

import numpy as np
from scipy.stats import rankdata

from core.arrays import FloatArray
from core.domain import Band, FilterResult, Role, Series
from core.least_differences import least_difference
from core.metric_names import is_used
from models.series.robust import ROUNDING
from models.series.thresholds import is_upward, threshold_of
from models.words.filters import (
    PAST_THRESHOLD_ANYWAY,
    history_reason,
    inside_reason,
    maintenance_reason,
    no_threshold_reason,
    noticeable_reason,
    predictable_reason,
    side_reason,
    threshold_reason,
    traffic_reason,
    used_share_reason,
)

CLEAR_BASELINE = "clear_baseline"
PREDICTABLE = "predictable"
NOTICEABLE = "noticeable"
SLO_IMPACT = "slo_impact"

MIN_DAYS = 7.0
#: Lag of the variance ratio, in hours: long enough for a level to pull values back, short enough for a week.
LAG_HOURS = 12
#: One-sided 5 % point of the normal distribution.
CRITICAL_Z = -1.6449
#: A deviation towards the threshold, or the end of a resource, matters if it is at least this share of the way from the
#: expected value.
SHARE_OF_THE_WAY = 0.25
#: A larger share is shown as this one.
MOST_SHARE = 1e6


def variance_ratio_z(hourly: FloatArray) -> float:
    """How far a series is from a random walk; below -1.64 a random walk is ruled out at 5 %.

    Changes of a random walk over q hours vary q times as much as its changes over one hour. A series that returns to
    its level has a ratio far below 1. The test uses ranks, so that it holds for every distribution of the changes.

    Args:
        hourly: one value an hour with the season taken out, float64, NaN = missing.
    Returns:
        The z statistic; NaN with fewer than 4 lags of data.
    References:
        Lo and MacKinlay (1988), Stock market prices do not follow random walks, Rev. Financial Studies 1.
        Wright (2000), Alternative variance-ratio tests using ranks and signs, J. Business & Econ. Stat. 18.
    """
    known = hourly[np.isfinite(hourly)]
    q = LAG_HOURS
    n = known.size - 1
    if n < 4 * q:
        return float("nan")
    steps = np.diff(known)
    if np.ptp(known) <= ROUNDING * float(np.abs(known).max()):
        return -np.inf  # nothing is more predictable than a constant
    # Standardised ranks of the changes: an outlier counts like any other large change.
    ranks = (rankdata(steps) - (n + 1) / 2) / np.sqrt((n - 1) * (n + 1) / 12)
    sums = np.cumsum(np.concatenate([[0.0], ranks]))
    long = sums[q:] - sums[:-q]
    ratio = float((long**2).sum()) / (q * n * float(np.mean(ranks**2)))
    return float((ratio - 1.0) / np.sqrt(2 * (2 * q - 1) * (q - 1) / (3 * q * n)))


def clear_baseline(days: float) -> FilterResult:
    """The baseline has learned from more than seven days."""
    return FilterResult(
        name=CLEAR_BASELINE,
        passed=days > MIN_DAYS,
        reason=history_reason(days, MIN_DAYS),
    )


def crosses(series: Series, value: float, expected: float) -> bool:
    """Whether a value lies past the threshold of its series and is worse than expected."""
    threshold = threshold_of(series, expected)
    if threshold is None:
        return False
    sign = _bad_sign(series, expected)
    return sign * (value - threshold) >= 0 and sign * (value - expected) > 0


def _bad_sign(series: Series, expected: float) -> float:
    return 1.0 if is_upward(series, expected) else -1.0


def _is_used_share(series: Series) -> bool:
    """Whether the values are how much of a resource is in use, such as of a processor, which ends at 1.

    A third of a processor in place of a tenth is rare, and nobody waits for it.
    """
    is_saturation = series.unit == "ratio" and series.role in (Role.SATURATION, Role.CAPACITY)
    return is_saturation and is_used(series.metric) and is_upward(series)


def predictable(z: float, *, past: bool = False) -> FilterResult:
    """The series returns to its level: a random walk is ruled out.

    Args:
        z: see `variance_ratio_z`.
        past: the value is past its threshold, which matters for every series.
    """
    if past:
        return FilterResult(name=PREDICTABLE, passed=True, reason=PAST_THRESHOLD_ANYWAY)
    passed = bool(z < CRITICAL_Z)
    return FilterResult(name=PREDICTABLE, passed=passed, reason=predictable_reason(z, passed=passed))


def noticeable(series: Series, value: float, band: Band, *, past: bool = False) -> FilterResult:
    """The value lies outside the expected range, by a difference that somebody would care about.

    Detectors also add up small deviations, and the values of some series hardly vary.

    Args:
        past: the value is past its threshold, where each difference counts.
    """
    if past:
        return FilterResult(name=NOTICEABLE, passed=True, reason=PAST_THRESHOLD_ANYWAY)
    if band.lower <= value <= band.upper:
        return FilterResult(name=NOTICEABLE, passed=False, reason=inside_reason())
    least = least_difference(series, band.expected)
    # Halves, because a difference of two huge values is infinite.
    passed = abs(value / 2 - band.expected / 2) >= least / 2
    return FilterResult(
        name=NOTICEABLE, passed=passed, reason=noticeable_reason(series, least, passed=passed)
    )


def slo_impact(
    series: Series, value: float, expected: float, *, planned: bool = False, excuse: str = ""
) -> FilterResult:
    """The deviation has the direction that users would notice: towards the threshold, or the bad one for its role.

    Args:
        planned: it happened in a maintenance window, in which disturbances are expected.
        excuse: why only crossing the threshold would matter, such as "over within minutes"; "" = none.
    """
    if planned:
        return FilterResult(name=SLO_IMPACT, passed=False, reason=maintenance_reason(planned=True))
    deviation = value - expected
    threshold = threshold_of(series, expected)
    if threshold is not None:
        sign = _bad_sign(series, expected)
        # Halves, because a difference of two huge values is infinite.
        worse, way = sign * (value / 2 - expected / 2), sign * (threshold / 2 - expected / 2)
        crossed = crosses(series, value, expected)
        share = max(min(worse / way, MOST_SHARE), -MOST_SHARE) if way > 0 else float(worse > 0)
        passed = crossed or (share >= SHARE_OF_THE_WAY and not excuse)
        reason = threshold_reason(series, threshold, share, excuse, crossed=crossed)
        return FilterResult(name=SLO_IMPACT, passed=passed, reason=reason)
    if excuse:
        return FilterResult(name=SLO_IMPACT, passed=False, reason=no_threshold_reason(excuse))
    if _is_used_share(series) and expected < 1:
        share = deviation / (1 - expected)
        return FilterResult(
            name=SLO_IMPACT, passed=share >= SHARE_OF_THE_WAY, reason=used_share_reason(share)
        )
    if series.role is Role.TRAFFIC:
        passed = deviation < 0
        return FilterResult(name=SLO_IMPACT, passed=passed, reason=traffic_reason(less=passed))
    upward = is_upward(series)
    passed = deviation > 0 if upward else deviation < 0
    reason = side_reason(series.role, above=deviation > 0, upward=upward)
    return FilterResult(name=SLO_IMPACT, passed=passed, reason=reason)
