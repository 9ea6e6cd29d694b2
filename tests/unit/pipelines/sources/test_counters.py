"""Counters as rates, against a plain loop."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frames import SAMPLES
from pipelines.sources.counters import CounterRates, CounterSpans

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


@pytest.mark.parametrize(
    ("counts", "rates_per_minute"),
    [
        ([4653.8125, 4653.796875, 4653.796875, 4653.84375], [0.0, 0.0, 0.03125]),
        ([1000, 1050, 0, 1100, 1150], [50, 25, 50]),
        ([1000, 1050, 0, 0, 1110, 1160], [50, 0, 20, 50]),
        ([1000, 1050, 0, 30, 60], [50, 30, 30]),
        ([1000, 1060, 30, 90], [60, 30, 60]),
        ([2**32 - 8000, 2**32 - 4000, 0.5, 4000.5], [4000, 4000.5, 4000]),
        ([2.0**64 - 2**20, 2.0**64 - 2**19, 2.0**18], [2**19, 2**19 + 2**18]),
        ([3.9e9, 3.9e9 + 60, 30, 90], [60, 30, 60]),
    ],
)
def test_a_fall_is_a_reset_unless_it_is_jitter_or_a_zero_in_between_or_an_overflow(
    counts: list[float], rates_per_minute: list[float]
) -> None:
    found = CounterRates().rates(frame([float(count) for count in counts]))["value"]
    assert found.to_list() == pytest.approx([rate / 60 for rate in rates_per_minute])


def test_the_second_of_two_counts_at_one_time_is_named_and_a_repeated_one_is_not() -> None:
    counter = CounterRates()
    first = pl.concat([frame([10.0, 70.0]), frame([70.0], first=1), frame([71.0], first=1)])
    assert counter.convert(first).contradicting.select("value", "stored").rows() == [(71.0, 70.0)]
    later = counter.convert(frame([70.0, 130.0], first=1))
    assert later.rates["value"].to_list() == [1.0]
    assert later.contradicting.is_empty()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [2, 1, 3, 0]])
def test_files_give_the_rates_of_the_whole_as_long_as_each_follows_or_precedes_the_others(
    order: list[int],
) -> None:
    counts = [float(count) for count in (0, 7, 20, 33, 60, 61, 99, 120, 121, 180, 200, 260)]
    spans: dict[str, Sequence[float]] = {}
    found: dict[datetime, float] = {}
    for part in order:
        counter = CounterRates()
        rates = counter.rates(frame(counts[3 * part : 3 * part + 3], first=3 * part))
        joined = CounterSpans(spans)
        rates = pl.concat([rates, joined.join(counter.ends)])
        spans = joined.state
        found.update({ts: value for _, ts, value in rates.iter_rows()})
    whole = CounterRates().rates(frame(counts))
    assert found == {ts: pytest.approx(value) for _, ts, value in whole.iter_rows()}
