import doctest
from datetime import UTC, datetime, timedelta

import pytest
from any_float import AWKWARD

import core.formatting
from core.domain import TimeRange
from core.formatting import format_duration, format_range, format_value, format_when

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def when(p10_min: float, p50_min: float, p90_min: float) -> TimeRange:
    return TimeRange(
        **{
            name: NOW + timedelta(minutes=minutes)
            for name, minutes in (("p10", p10_min), ("p50", p50_min), ("p90", p90_min))
        }
    )


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(core.formatting).failed == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3_569, "59 min"),
        (3_571, "1 h"),
        (3_600, "1 h"),
        (15_000, "4 h 10 min"),
        (10_700, "3 h"),
        (86_399, "1 d"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (13.99 * 86_400, "14 d"),
        (90 * 86_400, "90 d"),
    ],
)
def test_a_duration_reads_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_range_that_rounds_to_one_value_is_said_once() -> None:
    assert format_range(100 * 60, 101 * 60) == "about 1 h 40 min"


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        ((180, 250, 360), "in 4 h 10 min, between 3 h and 6 h"),
        ((-5, 40, 120), "in 40 min, within 2 h at the latest"),
        ((-50, -4, 20), "any moment, within 20 min at the latest"),
        ((-50, -40, -20), "now"),
    ],
)
def test_when_something_happens_is_said_from_the_present(
    minutes: tuple[float, float, float], text: str
) -> None:
    assert format_when(when(*minutes), NOW) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "bytes", "0 B"),
        (1024.0, "bytes", "1 KiB"),
        (-2048.0, "bytes", "-2 KiB"),
        (7200.0, "s", "2 h"),
        (1.5, "seconds", "1.5 s"),
        (99.96, "", "100"),
        (1e-5, "", "1e-05"),
        (float("nan"), "x", "nan"),
    ],
)
def test_values_are_said_in_their_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize("unit", ["", "ratio", "seconds", "bytes", "%", "requests/s"])
@pytest.mark.parametrize("value", AWKWARD)
def test_any_float_is_written_in_a_few_characters(value: float, unit: str) -> None:
    written = format_value(value, unit)
    assert len(written) < 25
    assert "inf" not in written
