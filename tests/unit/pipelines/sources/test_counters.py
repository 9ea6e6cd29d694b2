"""Counters as rates, against a plain loop."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from core.frames import SAMPLES
from pipelines.sources.counters import CounterRates

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def frame(values: list[float], first: int = 0, series_id: int = 1) -> pl.DataFrame:
    rows = [(series_id, T0 + timedelta(seconds=60 * (first + n)), value) for n, value in enumerate(values)]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def naive_rates(values: list[float]) -> list[float]:
    """A plain loop: resets, tiny falls and falls to 0; the counts are too small to wrap."""
    rates, highest, since, before_zero = [], values[0], 0, None
    for n, value in enumerate(values[1:], start=1):
        if value == 0 and highest > 0:
            before_zero, highest = (highest, since), 0.0
        elif before_zero is not None and value > 0:
            count, at = before_zero if value >= before_zero[0] else (0.0, since)
            rates.append((value - count) / (60 * (n - at)))
            before_zero, highest = None, value
        elif value >= highest:
            rates.append((value - highest) / 60)
            highest = value
        elif value >= 0.99 * highest:
            rates.append(0.0)
        else:
            rates.append(value / 60)
            highest = value
        since = n
    return rates


def test_a_counter_becomes_its_rate_and_a_reset_starts_from_zero() -> None:
    rates = CounterRates().rates(frame([60.0, 120.0, 30.0, 30.0]))
    assert rates["value"].to_list() == [1.0, 0.5, 0.0]
    assert rates["ts"][0] == T0 + timedelta(seconds=60)


def test_series_do_not_mix() -> None:
    both = pl.concat([frame([0.0, 60.0]), frame([600.0, 1200.0], series_id=2)])
    assert CounterRates().rates(both)["value"].to_list() == [1.0, 10.0]


def test_missing_values_are_bridged() -> None:
    values = frame([0.0, float("nan"), 120.0])
    assert CounterRates().rates(values)["value"].to_list() == [1.0]


@given(
    st.lists(st.floats(min_value=0, max_value=1e9), min_size=2, max_size=30),
    st.integers(min_value=0, max_value=30),
)
def test_pieces_give_the_same_rates_as_the_whole(values: list[float], cut: int) -> None:
    cut = min(cut, len(values))
    counter = CounterRates()
    parts = [counter.rates(frame(values[:cut])), counter.rates(frame(values[cut:], first=cut))]
    assert pl.concat(parts)["value"].to_list() == naive_rates(values)


def test_a_sample_that_comes_twice_makes_one_rate() -> None:
    counter = CounterRates()
    counter.rates(frame([0.0, 60.0]))
    assert counter.rates(frame([60.0, 120.0], first=1))["value"].to_list() == [1.0]
