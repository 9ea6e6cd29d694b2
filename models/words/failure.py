"""Texts of failure risk signals: "checkout: disk full in 4 h 10 min, between 3 h and 6 h (82% within 6 h)"."""

from datetime import datetime

from core.domain import FailureRisk
from core.formatting import format_duration, format_when
from models.words.feature import describe_feature

#: Names of the factors that stand for all features that are not named, and for the rate of failures without any sign.
OTHER_FEATURES = "other"
BASE_RATE = "base rate"
STARTING_VALUE = "starting value of the model, before any observation"

#: Contributions in log-odds: from the first on the effect is clear (odds x 1.35), from the second on strong (x 2.7).
_CLEAR, _STRONG = 0.3, 1.0


def expected_failure(service: str, risk: FailureRisk, horizon_s: int, now: datetime) -> str:
    """One sentence: what fails, when, and how likely it is within the horizon."""
    what = (risk.likely_type or "failure").replace("_", " ")
    odds = f"{risk.probability_by_horizon_s[horizon_s]:.0%} within {format_duration(horizon_s)}"
    if risk.when is None:
        return f"{service}: {what} likely, {odds}"
    return f"{service}: {what} {format_when(risk.when, now)} ({odds})"


def withdrawn_failure(service: str, probability: float) -> str:
    """One sentence about a failure that is not expected any more."""
    return f"Withdrawn: a failure of {service} is no longer likely; the probability is {probability:.0%} now"


def feature_reason(name: str, value: float, contribution: float) -> str:
    """A feature, its value, and what it does to the risk.

    Args:
        value: of the feature; NaN = missing.
        contribution: in log-odds; positive raises the risk.

    Examples:
        >>> feature_reason("memory_slope_6h", 0.021, 0.59)
        'memory grows 2.1 % of its limit per hour over the last 6 h; this raises the risk'
    """
    return f"{describe_feature(name, value)}; this {_effect(contribution)} the risk"


def other_features_reason(contribution: float) -> str:
    """The sum of all features that are not named; `contribution` in log-odds."""
    return f"all other observations together: this {_effect(contribution)} the risk"


def _effect(contribution: float) -> str:
    size = abs(contribution)
    verb = "raises" if contribution > 0 else "lowers"
    if size < _CLEAR:
        return f"slightly {verb}"
    return f"strongly {verb}" if size >= _STRONG else verb
