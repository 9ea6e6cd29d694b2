"""Reads the names of features: the models do not depend on the package that computes features."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

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


@dataclass(frozen=True, slots=True)
class FeatureName:
    """A feature's name, parsed.

    Attributes:
        name: the whole name.
        slot: the resource or signal that it describes, such as "memory".
        family: what it measures, such as "slope".
        window_h: how far back it looks, in hours; 0 = no window in the name.
    """

    name: str
    slot: str
    family: str
    window_h: float = 0.0


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
def parse_feature_name(name: str) -> FeatureName | None:
    """Parse the name of a feature; null if it follows no known pattern.

    Examples:
        >>> parse_feature_name("memory_slope_6h")
        FeatureName(name='memory_slope_6h', slot='memory', family='slope', window_h=6.0)
    """
    window = re.search(r"_(\d+)([mh])$", name)
    window_h = int(window[1]) / (60 if window[2] == "m" else 1) if window else 0.0
    for pattern, (slot, family) in _OTHERS.items():
        if re.fullmatch(pattern, name):
            return FeatureName(name, slot, family, window_h)
    found = _OF_SLOT.fullmatch(name.replace("_in_3h_at", "_ahead"))
    if found is None or found["slot"] not in NOUNS:
        return None
    return FeatureName(name, found["slot"], found["family"], window_h)
