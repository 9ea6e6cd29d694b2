"""Formats durations, time ranges and values for people."""

import math
from collections.abc import Mapping
from datetime import datetime

from core.domain import TimeRange
from core.durations import DAY_S, HOUR_S, MINUTE_S

#: Durations above an hour are rounded to ten minutes: no forecast is more precise.
_HOUR_ROUNDING_S = 600
#: Longer durations are shown without hours: 21 d, not 21 d 4 h.
_DAYS_ONLY_S = 14 * DAY_S

#: A larger deviation is shown without its size.
MOST_SIGMAS = 100.0

#: A duration of more seconds is written with an exponent, and so is a ratio above this.
_LONGEST_S = 1e12

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_duration(seconds: float) -> str:
    """A duration in at most two units, rounded; a negative one becomes 0 s.

    Examples:
        >>> [format_duration(s) for s in (0, 42, 750, 4 * 3600 + 612, 26 * 3600, 30 * 86400)]
        ['0 s', '42 s', '12 min', '4 h 10 min', '1 d 2 h', '30 d']
    """
    left = max(0.0, seconds)
    if round(left) < MINUTE_S:
        return f"{round(left)} s"
    if round(left / MINUTE_S) < HOUR_S // MINUTE_S:
        return f"{round(left / MINUTE_S)} min"
    rounded = round(left / _HOUR_ROUNDING_S) * _HOUR_ROUNDING_S
    if rounded < DAY_S:
        return _two(rounded // HOUR_S, "h", rounded % HOUR_S // MINUTE_S, "min")
    if left < _DAYS_ONLY_S:
        hours = round(left / HOUR_S)
        return _two(hours // 24, "d", hours % 24, "h")
    return f"{round(left / DAY_S)} d"


def format_range(low_s: float, high_s: float) -> str:
    """Two durations as a range, or one duration if both have the same text.

    Examples:
        >>> format_range(3 * 3600, 6 * 3600)
        'between 3 h and 6 h'
        >>> format_range(3601, 3700)
        'about 1 h'
    """
    low, high = format_duration(low_s), format_duration(high_s)
    return f"about {low}" if low == high else f"between {low} and {high}"


def format_when(when: TimeRange, now: datetime) -> str:
    """The middle and the range of a future time, seen from `now`.

    `in 4 h 10 min, between 3 h and 6 h`; `in 40 min, within 2 h at the latest` if P10 has passed; `any moment, within
    20 min at the latest` if P50 has passed; `now` if P90 has passed.
    """
    p10, p50, p90 = ((moment - now).total_seconds() for moment in (when.p10, when.p50, when.p90))
    if p90 <= 0:
        return "now"
    if p50 <= 0:
        return f"any moment, within {format_duration(p90)} at the latest"
    if p10 <= 0:
        return f"in {format_duration(p50)}, within {format_duration(p90)} at the latest"
    return f"in {format_duration(p50)}, {format_range(p10, p90)}"


def format_moment(moment: datetime) -> str:
    """A time in UTC, to the minute: `2026-03-02 12:00 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def format_time_range(when: TimeRange) -> str:
    """The middle and the range of a time as dates, for texts that are read later."""
    p10, p50, p90 = map(format_moment, (when.p10, when.p50, when.p90))
    return f"{p50}, 80% between {p10} and {p90}"


def format_odds(probability_by_horizon_s: Mapping[int, float]) -> str:
    """Probabilities by horizon, shortest horizon first.

    Examples:
        >>> format_odds({21_600: 0.6, 3_600: 0.01})
        '1% within 1 h, 60% within 6 h'
    """
    shares = sorted(probability_by_horizon_s.items())
    return ", ".join(f"{share:.0%} within {format_duration(horizon)}" for horizon, share in shares)


def format_value(value: float, unit: str = "") -> str:
    """A value with its unit and three significant digits; bytes, seconds and ratios in units that people read.

    Examples:
        >>> [format_value(0.934, "ratio"), format_value(0.2412, "seconds"), format_value(7.3e10, "bytes")]
        ['93.4 %', '241 ms', '68 GiB']
        >>> [format_value(1234.5, "requests/s"), format_value(42.0), format_value(88.21, "%")]
        ['1234 requests/s', '42', '88.2 %']
    """
    if not math.isfinite(value):
        return str(value)
    match unit.lower():
        case "ratio" if abs(value) < _LONGEST_S:
            return f"{_digits(value * 100)} %"
        case "s" | "seconds" if abs(value) < 1:
            return f"{_digits(value * 1000)} ms"
        case "s" | "seconds" if abs(value) < 2 * MINUTE_S:
            return f"{_digits(value)} s"
        case "s" | "seconds" if abs(value) < _LONGEST_S:
            return ("-" if value < 0 else "") + format_duration(abs(value))
        case "bytes" | "byte" | "b":
            power = min(int(math.log(max(abs(value), 1), 1024)), len(_BYTE_UNITS) - 1)
            return f"{_digits(value / 1024**power)} {_BYTE_UNITS[power]}"
        case "":
            return _digits(value)
        case _:
            return f"{_digits(value)} {unit}"


def format_deviation(sigma: float) -> str:
    """The size of a deviation in units of the usual variation.

    Far beyond the usual variation the number means nothing: a series that hardly varies is "thousands of sigma" away.

    Examples:
        >>> format_deviation(-4.23), format_deviation(1405.5)
        ('4.2 times the usual variation', 'more than 100 times the usual variation')
    """
    size = abs(sigma)
    times = "more than 100" if size > MOST_SIGMAS else f"{size:z.1f}"
    return f"{times} times the usual variation"


def _digits(value: float) -> str:
    """Three significant digits, without exponents below a million, and never fewer digits than the integer part."""
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:z.3g}"
    return f"{value:z.0f}" if abs(value) >= 100 else f"{float(f'{value:z.3g}'):zg}"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big} {big_unit}" + (f" {small} {small_unit}" if small else "")
