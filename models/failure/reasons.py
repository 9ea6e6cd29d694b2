"""Contributions of features in words with numbers: "memory grows 2.1 % of its limit an hour over 6 h"."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.domain import Factor

#: "Not on its way to the limit" and "never", as the features have them (`features.windows`, `features.grid`).
HOURS_CAP, AGE_CAP_H = 48.0, 336.0


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature's name says: of what, which family, and how far back in hours."""

    name: str
    slot: str
    family: str
    window_h: float = 0.0


#: Names are read, not looked up: models know nothing of the package that makes features.
_OF_SLOT = re.compile(
    r"(?P<slot>[a-z]+)_(?P<family>level|slope|hours_to_limit_since|hours_to_limit_middle|hours_to_limit|acceleration|spread|deviation|"
    r"times_usual|above_ceiling|rise|beyond_usual|ahead|pace_change|below_high|rising_share|usual_change|hours_since|way|hours_on_way|"
    r"line_way|line_pace|line_hours_to_limit|line_strays|"
    r"off_line|limit_in_strays|pace_in_strays|cpu_of_way|"
    r"unexplained|unexplained_deviation|unexplained_rise|unexplained_rise_deviation)"
    r"(_slope|_half|_most|_tenth|_usual)?(_(?P<window>\d+)(?P<unit>[mh]))?"
)
_OTHERS: Mapping[str, tuple[str, str]] = {
    r"soonest_limit_\d+h": ("saturation", "hours_to_limit"),
    r"soonest_limit_since_(half|most)": ("saturation", "hours_to_limit_since"),
    r"highest_in_3h_at_\d+h": ("saturation", "ahead"),
    "highest_saturation": ("saturation", "level"),
    "furthest_way": ("saturation", "way"),
    r"upstream_[a-z]+_15m": ("upstream", "level"),
    r"upstream_[a-z]+_rise_1h": ("upstream", "rise"),
    r"hours_since_(deploy|config|maintenance)": ("events", "age"),
    "(deploys|configs)_24h": ("events", "count"),
    "in_maintenance": ("events", "flag"),
    "missing_share_1h": ("events", "missing"),
    "hour_of_day": ("calendar", "hour"),
    "day_of_week": ("calendar", "weekday"),
}


@cache
def _read(name: str) -> Feature | None:
    window = re.search(r"_(\d+)([mh])$", name)
    window_h = int(window[1]) / (60 if window[2] == "m" else 1) if window else 0.0
    for pattern, (slot, family) in _OTHERS.items():
        if re.fullmatch(pattern, name):
            return Feature(name, slot, family, window_h)
    found = _OF_SLOT.fullmatch(name.replace("_in_3h_at", "_ahead"))
    if found is None or found["slot"] not in NOUNS:
        return None
    return Feature(name, found["slot"], found["family"], window_h)


#: How a slot is called in a sentence.
NOUNS: Mapping[str, str] = {
    "cpu": "CPU",
    "memory": "memory",
    "disk": "disk",
    "latency": "p99 latency",
    "errors": "error ratio",
    "traffic": "traffic",
    "connections": "connections",
    "queue": "queue",
    "first": "the resource that will be full first",
    "second": "the resource that will be full second",
    "saturation": "the fullest resource",
    "upstream": "a service it depends on",
}
#: What the share of 1 is.
WHOLE: Mapping[str, str] = {
    "latency": "its SLO",
    "errors": "its SLO",
    "queue": "its SLO",
    "traffic": "its mean",
}
#: Whoever is first or second is one of the resources; these tell which.
RANKS, IDENTITY = ("first", "second"), ("level_15m", "way_15m")
#: Rank -> the columns of its level and way, and those of each resource.
_Ranked = Mapping[str, tuple[list[int], list[tuple[str, list[int]]]]]
REST = "other"
BASE = "base rate"


def factors_of(
    names: Sequence[str],
    values: NDArray[np.float64],
    contributions: NDArray[np.float64],
    bias: float,
    top: int = 5,
) -> tuple[Factor, ...]:
    """The strongest features, then what the others add, then where everybody starts; together the margin.

    Args:
        values: of the features, NaN = missing; length f.
        contributions: SHAP values in log-odds, length f.
        bias: the margin of a moment of which nothing is known.
        top: how many features are told by name.
    """
    ranked = _ranked(tuple(names))
    order = np.argsort(-np.abs(contributions), kind="stable")[:top]
    named = [
        Factor(
            name=names[i],
            value=None if math.isnan(values[i]) else float(values[i]),
            contribution=float(contributions[i]),
            text=f"{tell(_told_name(names[i], ranked, values), float(values[i]))} ({contributions[i]:+.2f})",
        )
        for i in order
        if contributions[i] != 0.0
    ]
    rest = float(contributions.sum() - sum(factor.contribution for factor in named))
    return (
        *named,
        Factor(name=REST, value=None, contribution=rest, text=f"all other features ({rest:+.2f})"),
        Factor(name=BASE, value=None, contribution=bias, text=f"base rate ({bias:+.2f})"),
    )


def _told_name(name: str, ranked: _Ranked, values: NDArray[np.float64]) -> str:
    """Who is first and second is told by name: the resource that has the same level and way."""
    rank, _, family = name.partition("_")
    if rank in ranked:
        (level, way), resources = ranked[rank]
        for slot, (its_level, its_way) in resources:
            if values[its_level] == values[level] and values[its_way] == values[way]:
                return f"{slot}_{family}"
    return name


@cache
def _ranked(names: tuple[str, ...]) -> _Ranked:
    """From the names of all features; to look it up hashes every one of them, so it is done once a row."""
    at = {name: place for place, name in enumerate(names)}

    def places(slot: str) -> list[int]:
        return [at[name] for family in IDENTITY if (name := f"{slot}_{family}") in at]

    complete = {slot: found for slot in NOUNS if len(found := places(slot)) == len(IDENTITY)}
    return {
        rank: (complete[rank], [(slot, found) for slot, found in complete.items() if slot not in RANKS])
        for rank in RANKS
        if rank in complete
    }


def tell(name: str, value: float) -> str:
    """One feature's value as a clause.

    >>> tell("memory_slope_6h", 0.021)
    'memory grows 2.1 % of its limit an hour over 6 h'
    >>> tell("disk_hours_to_limit_3h", 4.25)
    'disk at its limit in 4.2 h at the pace of the last 3 h'
    """
    feature = _read(name)
    if feature is None:
        return f"{name} is {value:.3g}"
    if math.isnan(value):
        return f"{name} is not known"
    return _CLAUSES[feature.family](feature, value)


def _noun(feature: Feature) -> str:
    return NOUNS.get(feature.slot, feature.slot)


def _whole(feature: Feature) -> str:
    return WHOLE.get(feature.slot, "its limit")


def _span(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:g} h" if hours < 48 else f"{hours / 24:g} days"


def _level(feature: Feature, value: float) -> str:
    if feature.slot == "upstream":
        return f"{feature.name.removesuffix('_15m').replace('_', ' ')} at {100 * value:.0f} %"
    return f"{_noun(feature)} at {100 * value:.0f} % of {_whole(feature)}"


def _slope(feature: Feature, value: float) -> str:
    verb = "grows" if value >= 0 else "falls"
    pace = f"{100 * abs(value):.1f} % of {_whole(feature)} an hour"
    return f"{_noun(feature)} {verb} {pace} over {_span(feature.window_h)}"


def _projected(feature: Feature, value: float, stretch: str) -> str:
    """When it is full if it goes on as over the `stretch`."""
    pace = f"at the pace of the {stretch}"
    if value >= HOURS_CAP:
        return f"{_noun(feature)} not on its way to {_whole(feature)} {pace}"
    return f"{_noun(feature)} at {_whole(feature)} in {value:.1f} h {pace}"


def _hours_to_limit(feature: Feature, value: float) -> str:
    return _projected(feature, value, f"last {_span(feature.window_h)}")


def _acceleration(feature: Feature, value: float) -> str:
    how = "speeds up" if value >= 0 else "slows down"
    return f"{_noun(feature)} {how} by {100 * abs(value):.2f} % of {_whole(feature)} an hour each hour"


def _deviation(feature: Feature, value: float) -> str:
    side = "above" if value >= 0 else "below"
    return f"{_noun(feature)} {abs(value):.1f} sigma {side} its usual at this time of day"


def _rise(feature: Feature, value: float) -> str:
    return f"{_noun(feature)} {100 * value:.0f} % of {_whole(feature)} above its lowest of {_span(feature.window_h)}"


def _hours_to_limit_since(feature: Feature, value: float) -> str:
    part = feature.name.rsplit("_", 1)[1]
    stretches = {
        "half": "last half of its rise",
        "most": "last quarter of its rise",
        "usual": "whole of its rise",
    }
    return _projected(feature, value, stretches[part])


def _hours_since(feature: Feature, value: float) -> str:
    part = {"tenth": "nine tenths", "half": "half", "most": "a quarter"}[feature.name.rsplit("_", 1)[1]]
    return f"{part} of the rise of {_noun(feature)} came in the last {value:.1f} h"


def _ahead(feature: Feature, value: float) -> str:
    pace = f"at its pace of the last {_span(feature.window_h)}"
    return f"{_noun(feature)} at {100 * value:.0f} % of {_whole(feature)} in 3 h {pace}"


def _beyond_usual(feature: Feature, value: float) -> str:
    how = "faster" if value >= 0 else "slower"
    pace = f"{100 * abs(value):.1f} % of {_whole(feature)} an hour"
    return f"{_noun(feature)} grows {pace} {how} than usual over {_span(feature.window_h)}"


def _usual_change(feature: Feature, value: float) -> str:
    verb = "grows" if value >= 0 else "falls"
    return f"{_noun(feature)} usually {verb} by {100 * abs(value):.1f} % of {_whole(feature)} in the next 3 h"


def _above_ceiling(feature: Feature, value: float) -> str:
    side = "above" if value >= 0 else "below"
    return f"{_noun(feature)} {100 * abs(value):.0f} % of {_whole(feature)} {side} its highest of the week"


def _age(feature: Feature, value: float) -> str:
    what = {
        "deploy": "last deploy",
        "config": "last config change",
        "maintenance": "last maintenance",
    }[feature.name.removeprefix("hours_since_")]
    return f"no {what.removeprefix('last ')} known" if value >= AGE_CAP_H else f"{what} {value:.1f} h ago"


_CLAUSES: Mapping[str, Callable[[Feature, float], str]] = {
    "level": _level,
    "slope": _slope,
    "hours_to_limit": _hours_to_limit,
    "acceleration": _acceleration,
    "spread": lambda f, v: f"{_noun(f)} varies by {100 * v:.1f} % of {_whole(f)} within {_span(f.window_h)}",
    "deviation": _deviation,
    "times_usual": lambda f, v: (
        f"{_noun(f)} changes {abs(v):.1f} times as fast as usual" + (" (falling)" if v < 0 else "")
    ),
    "above_ceiling": _above_ceiling,
    "rise": _rise,
    "hours_to_limit_since": _hours_to_limit_since,
    "hours_since": _hours_since,
    "ahead": _ahead,
    "beyond_usual": _beyond_usual,
    "usual_change": _usual_change,
    "pace_change": lambda f, v: (
        f"{_noun(f)} grows {abs(v):.1f} times as fast as over {_span(f.window_h)}"
        + (" (the other way)" if v < 0 else "")
    ),
    "below_high": lambda f, v: (
        f"{_noun(f)} {100 * abs(v):.0f} % of {_whole(f)} below its highest of {_span(f.window_h)}"
    ),
    "rising_share": lambda f, v: f"{_noun(f)} rose in {100 * v:.0f} % of the last {_span(f.window_h)}",
    "way": lambda f, v: f"{_noun(f)} {100 * v:.0f} % of the way from its usual level to {_whole(f)}",
    "line_way": lambda f, v: (
        f"{_noun(f)} {100 * v:.0f} % of the way from its usual level to {_whole(f)}"
        f" by a line through {_span(f.window_h)}"
    ),
    "line_pace": lambda f, v: (
        f"{_noun(f)} {'comes' if v >= 0 else 'goes back'} {100 * abs(v):.0f} % of its way to {_whole(f)} an hour"
        f" by a line through {_span(f.window_h)}"
    ),
    "line_hours_to_limit": lambda f, v: _projected(f, v, f"line through the last {_span(f.window_h)}"),
    "line_strays": lambda f, v: (
        f"{_noun(f)} strays by {100 * v:.1f} % of its way from a line through {_span(f.window_h)}"
    ),
    "off_line": lambda f, v: (
        f"{_noun(f)} {100 * abs(v):.1f} % of its way {'over' if v >= 0 else 'under'} a line through {_span(f.window_h)}"
    ),
    "limit_in_strays": lambda f, v: (
        f"{_noun(f)} {abs(v):.0f} times as far {'from' if v >= 0 else 'past'} {_whole(f)} as it strays"
        f" from a line through {_span(f.window_h)}"
    ),
    "pace_in_strays": lambda f, v: (
        f"{_noun(f)} {'comes' if v >= 0 else 'goes back'} {abs(v):.1f} times as far an hour as it strays"
        f" from a line through {_span(f.window_h)}"
    ),
    "cpu_of_way": lambda f, v: (
        f"CPU beyond traffic {'rose' if v >= 0 else 'fell'} by {100 * abs(v):.1f} % for the whole way of {_noun(f)}"
    ),
    "hours_to_limit_middle": lambda f, v: _projected(f, v, "middle of several stretches"),
    "unexplained": lambda f, v: (
        f"{_noun(f)} {100 * abs(v):.1f} % of {_whole(f)} {'over' if v >= 0 else 'under'} what traffic explains"
        f" over {_span(f.window_h)}"
    ),
    "unexplained_deviation": lambda f, v: (
        f"{_noun(f)} {abs(v):.1f} sigma {'over' if v >= 0 else 'under'} what traffic explains over {_span(f.window_h)}"
    ),
    "unexplained_rise": lambda f, v: (
        f"{_noun(f)} {100 * abs(v):.1f} % of {_whole(f)} {'over' if v >= 0 else 'under'} its hours before,"
        " without what traffic explains"
    ),
    "unexplained_rise_deviation": lambda f, v: (
        f"{_noun(f)} {abs(v):.1f} sigma {'over' if v >= 0 else 'under'} its hours before,"
        " without what traffic explains"
    ),
    "hours_on_way": lambda f, v: f"{_noun(f)} over its usual level for {v:.1f} h",
    "age": _age,
    "count": lambda f, v: f"{v:.0f} {'deploys' if f.name.startswith('deploy') else 'config changes'} in 24 h",
    "flag": lambda f, v: "in maintenance" if v > 0 else "not in maintenance",
    "missing": lambda f, v: f"{100 * v:.0f} % of the samples of the last hour missing",
    "hour": lambda f, v: f"time of day {int(v):02d}:{round(v % 1 * 60):02d} UTC",
    "weekday": lambda f, v: (
        "day of week "
        + ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[int(v) - 1]
    ),
}
