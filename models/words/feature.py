"""Describes the values of features in words: "memory grows 2.1 % of its limit per hour over the last 6 h"."""

import math
from collections.abc import Callable, Mapping

from core.durations import HOUR_S
from core.formatting import format_deviation, format_duration
from models.words.feature_names import NOUNS, FeatureName, parse_feature_name

#: From these values on, a feature means "does not approach the limit" and "never". They equal those of
#: `features.windows` and `features.grid`.
HOURS_CAP, AGE_CAP_H = 48.0, 336.0
#: From this share on, a number of times is easier to read.
MOST_PERCENT = 1_000
#: What 100 % means for a slot; the limit of the resource for the others.
WHOLE: Mapping[str, str] = {
    "latency": "its SLO",
    "errors": "its SLO",
    "queue": "its SLO",
    "traffic": "its mean",
    "upstream": "what is allowed",
}


def describe_feature(name: str, value: float) -> str:
    """Describe the value of a feature as a clause.

    Args:
        name: name of the feature.
        value: its value; NaN = missing.

    Examples:
        >>> describe_feature("memory_slope_6h", 0.021)
        'memory grows 2.1 % of its limit per hour over the last 6 h'
        >>> describe_feature("disk_hours_to_limit_3h", 4.25)
        'disk reaches its limit in 4 h 20 min if it continues as in the last 3 h'
    """
    feature = parse_feature_name(name)
    if feature is None:
        return f"{name} is {value:z.3g}"
    if math.isnan(value):
        return f"{name} is not known"
    return _CLAUSES[feature.family](feature, value)


def _noun(feature: FeatureName) -> str:
    return NOUNS.get(feature.slot, feature.slot)


def _whole(feature: FeatureName) -> str:
    return WHOLE.get(feature.slot, "its limit")


def _span(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:z.0f} min"
    return f"{hours:zg} h" if hours < 48 else f"{hours / 24:zg} days"


def _of_whole(feature: FeatureName, value: float, decimals: int = 0) -> str:
    """A share, such as "93 % of its limit"; a large one as "12 times its SLO"."""
    if abs(value) >= MOST_PERCENT / 100:
        return f"{value:z.3g} times {_whole(feature)}"
    return f"{100 * value:z.{decimals}f} % of {_whole(feature)}"


def _of_way(value: float, decimals: int = 0) -> str:
    """A share of the way to the limit; a large one as "12 times the way"."""
    if abs(value) >= MOST_PERCENT / 100:
        return f"{value:z.3g} times the way"
    return f"{100 * value:z.{decimals}f} % of the way"


def _side(value: float) -> str:
    return "above" if value >= 0 else "below"


def _level(feature: FeatureName, value: float) -> str:
    if feature.slot == "upstream":
        return f"{feature.name.removesuffix('_15m').replace('_', ' ')} at {_of_whole(feature, value)}"
    return f"{_noun(feature)} is at {_of_whole(feature, value)}"


def _slope(feature: FeatureName, value: float) -> str:
    verb = "grows" if value >= 0 else "falls"
    pace = f"{_of_whole(feature, abs(value), 1)} per hour"
    return f"{_noun(feature)} {verb} {pace} over the last {_span(feature.window_h)}"


def _projected(feature: FeatureName, value: float, stretch: str) -> str:
    """When the limit is reached if the growth of the `stretch` continues; `value` in hours."""
    condition = f"if it continues as in the {stretch}"
    if value >= HOURS_CAP:
        return f"{_noun(feature)} does not reach {_whole(feature)} soon {condition}"
    return f"{_noun(feature)} reaches {_whole(feature)} in {format_duration(value * HOUR_S)} {condition}"


def _hours_to_limit(feature: FeatureName, value: float) -> str:
    return _projected(feature, value, f"last {_span(feature.window_h)}")


def _acceleration(feature: FeatureName, value: float) -> str:
    how = "speeds up" if value >= 0 else "slows down"
    return f"growth of {_noun(feature)} {how} by {_of_whole(feature, abs(value), 2)} per hour, each hour"


def _deviation(feature: FeatureName, value: float) -> str:
    return f"{_noun(feature)} is {format_deviation(value)} {_side(value)} its usual value at this time of day"


def _rise(feature: FeatureName, value: float) -> str:
    lowest = f"its lowest value in {_span(feature.window_h)}"
    return f"{_noun(feature)} {_of_whole(feature, value)} above {lowest}"


def _hours_to_limit_since(feature: FeatureName, value: float) -> str:
    part = feature.name.rsplit("_", 1)[1]
    stretches = {
        "half": "last half of its rise",
        "most": "last quarter of its rise",
        "usual": "whole rise",
    }
    return _projected(feature, value, stretches[part])


def _hours_since(feature: FeatureName, value: float) -> str:
    part = {"tenth": "nine tenths", "half": "half", "most": "a quarter"}[feature.name.rsplit("_", 1)[1]]
    return f"{part} of the rise of {_noun(feature)} happened in the last {value:z.1f} h"


def _ahead(feature: FeatureName, value: float) -> str:
    pace = f"at its pace of the last {_span(feature.window_h)}"
    return f"{_noun(feature)} at {_of_whole(feature, value)} in 3 h {pace}"


def _beyond_usual(feature: FeatureName, value: float) -> str:
    how = "faster" if value >= 0 else "slower"
    pace = f"{_of_whole(feature, abs(value), 1)} an hour"
    return f"{_noun(feature)} grows {pace} {how} than usual over {_span(feature.window_h)}"


def _usual_change(feature: FeatureName, value: float) -> str:
    verb = "grows" if value >= 0 else "falls"
    return f"{_noun(feature)} usually {verb} by {_of_whole(feature, abs(value), 1)} in the next 3 h"


def _above_ceiling(feature: FeatureName, value: float) -> str:
    distance = _of_whole(feature, abs(value))
    return f"{_noun(feature)} {distance} {_side(value)} its highest value of the week"


def _age(feature: FeatureName, value: float) -> str:
    what = {
        "deploy": "last deploy",
        "config": "last config change",
        "maintenance": "last maintenance",
    }[feature.name.removeprefix("hours_since_")]
    return f"no {what.removeprefix('last ')} known" if value >= AGE_CAP_H else f"{what} {value:z.1f} h ago"


_CLAUSES: Mapping[str, Callable[[FeatureName, float], str]] = {
    "level": _level,
    "slope": _slope,
    "hours_to_limit": _hours_to_limit,
    "acceleration": _acceleration,
    "spread": lambda f, v: f"{_noun(f)} varies by {_of_whole(f, v, 1)} within {_span(f.window_h)}",
    "deviation": _deviation,
    "times_usual": lambda f, v: (
        f"{_noun(f)} changes {abs(v):z.1f} times as fast as usual" + (" (falling)" if v < 0 else "")
    ),
    "above_ceiling": _above_ceiling,
    "rise": _rise,
    "hours_to_limit_since": _hours_to_limit_since,
    "hours_since": _hours_since,
    "ahead": _ahead,
    "beyond_usual": _beyond_usual,
    "usual_change": _usual_change,
    "pace_change": lambda f, v: (
        f"{_noun(f)} grows {abs(v):z.1f} times as fast as over {_span(f.window_h)}"
        + (" (in the opposite direction)" if v < 0 else "")
    ),
    "below_high": lambda f, v: (
        f"{_noun(f)} {_of_whole(f, abs(v))} below its highest value in {_span(f.window_h)}"
    ),
    "rising_share": lambda f, v: f"{_noun(f)} rose in {100 * v:z.0f} % of the last {_span(f.window_h)}",
    "way": lambda f, v: f"{_noun(f)} {_of_way(v)} from its usual level to {_whole(f)}",
    "line_way": lambda f, v: (
        f"{_noun(f)} {_of_way(v)} from its usual level to {_whole(f)},"
        f" on the trend line of {_span(f.window_h)}"
    ),
    "line_pace": lambda f, v: (
        f"{_noun(f)} moves {_of_way(abs(v))} {'towards' if v >= 0 else 'away from'} {_whole(f)} an hour,"
        f" on the trend line of {_span(f.window_h)}"
    ),
    "line_hours_to_limit": lambda f, v: _projected(f, v, f"trend of the last {_span(f.window_h)}"),
    "line_strays": lambda f, v: (
        f"{_noun(f)} varies around its trend line of {_span(f.window_h)} by {_of_way(v, 1)} to {_whole(f)}"
    ),
    "off_line": lambda f, v: (
        f"{_noun(f)} {'above' if v >= 0 else 'below'} its trend line of {_span(f.window_h)}"
        f" by {_of_way(abs(v), 1)} to {_whole(f)}"
    ),
    "limit_in_strays": lambda f, v: (
        f"{_noun(f)} {'before' if v >= 0 else 'past'} {_whole(f)} by {abs(v):z.0f} times its usual variation"
        f" around the trend line of {_span(f.window_h)}"
    ),
    "pace_in_strays": lambda f, v: (
        f"{_noun(f)} moves {'towards' if v >= 0 else 'away from'} {_whole(f)} by {abs(v):.1f} times its usual variation"
        f" an hour, on the trend line of {_span(f.window_h)}"
    ),
    "cpu_of_way": lambda f, v: (
        f"CPU that traffic does not explain {'rose' if v >= 0 else 'fell'} by {_of_whole(f, abs(v), 1)}"
        f" per full way of {_noun(f)} to {_whole(f)}"
    ),
    "hours_to_limit_middle": lambda f, v: _projected(f, v, "last hours"),
    "unexplained": lambda f, v: (
        f"{_noun(f)} {_of_whole(f, abs(v), 1)} {_side(v)} the value that traffic explains,"
        f" over {_span(f.window_h)}"
    ),
    "unexplained_deviation": lambda f, v: (
        f"{_noun(f)} {format_deviation(v)} {_side(v)} the value that traffic explains, over {_span(f.window_h)}"
    ),
    "unexplained_rise": lambda f, v: (
        f"{_noun(f)} {_of_whole(f, abs(v), 1)} {_side(v)} the hours before, after correction for traffic"
    ),
    "unexplained_rise_deviation": lambda f, v: (
        f"{_noun(f)} {format_deviation(v)} {_side(v)} the hours before, after correction for traffic"
    ),
    "hours_on_way": lambda f, v: f"{_noun(f)} above its usual level for {v:z.1f} h",
    "age": _age,
    "count": lambda f, v: (
        f"{v:z.0f} {'deploys' if f.name.startswith('deploy') else 'config changes'} in the last 24 h"
    ),
    "flag": lambda f, v: "in maintenance" if v > 0 else "not in maintenance",
    "missing": lambda f, v: f"{100 * v:z.0f} % of the samples of the last hour missing",
    "hour": lambda f, v: f"time of day {round(v * 60) // 60 % 24:02d}:{round(v * 60) % 60:02d} UTC",
    "weekday": lambda f, v: (
        "day of week "
        + ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[int(v) - 1]
    ),
}
