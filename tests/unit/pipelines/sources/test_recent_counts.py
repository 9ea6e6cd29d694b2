"""Rates of counts that come request by request, against a plain loop."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frames import SAMPLES
from pipelines.sources.recent_counts import KEPT_COUNTS, rates_of

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def frame(values: list[float], first: int = 0, series_id: int = 1) -> pl.DataFrame:
    rows = [(series_id, T0 + timedelta(seconds=60 * (first + n)), value) for n, value in enumerate(values)]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def naive_rates(values: list[float]) -> list[float]:
    """A loop over the counts at steps of 60 s: the rate of each but the first, and of failed readings none."""
    rates = []
    for n in range(1, len(values)):
        previous, since = values[n - 1], 1
        zeros = 0
        while zeros < 3 and n - 1 - zeros >= 0 and values[n - 1 - zeros] == 0:
            zeros += 1
        before = values[n - 1 - zeros] if zeros and n - 1 - zeros >= 0 else 0.0
        if before > 0 and values[n] >= before:
            previous, since = before, zeros + 1
        elif n >= 2 and values[n - 2] * 0.99 <= values[n - 1] < values[n - 2]:
            previous = values[n - 2]
        value = values[n]
        if value >= previous:
            rates.append((value - previous) / (60 * since))
        elif value > 0:
            rates.append(0.0 if value >= previous * 0.99 else value / 60)
    return rates


EMPTY = pl.DataFrame(schema=SAMPLES)


class CounterRates:
    """One counter after the other, as requests bring them."""

    def __init__(self) -> None:
        self._recent = EMPTY

    def rates(self, counts: pl.DataFrame) -> pl.DataFrame:
        rated = rates_of(self._recent, counts)
        self._recent = rated.recent
        return rated.rates


def test_a_counter_becomes_its_rate_and_a_reset_starts_from_zero() -> None:
    rates = CounterRates().rates(frame([60.0, 120.0, 30.0, 30.0]))
    assert rates["value"].to_list() == [1.0, 0.5, 0.0]
    assert rates["ts"][0] == T0 + timedelta(seconds=60)


def test_series_do_not_mix() -> None:
    both = pl.concat([frame([0.0, 60.0]), frame([600.0, 1200.0], series_id=2)])
    assert CounterRates().rates(both)["value"].to_list() == [1.0, 10.0]


@given(
    st.lists(st.floats(min_value=0, max_value=1e9) | st.integers(0, 3).map(float), min_size=2, max_size=30),
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
    ("counts", "rates"),
    [
        # windows_exporter#1383: a count goes back a little, and the growth is counted once
        ([4653.8125, 4653.796875, 4653.8125, 4713.8125], [0.0, 0.0, 1.0]),
        # windows_exporter#2292: the reading failed, once or three times
        ([1040.0, 1100.0, 0.0, 1220.0], [1.0, 1.0]),
        ([1040.0, 1100.0, 0.0, 0.0, 0.0, 1340.0], [1.0, 0.0, 0.0, 1.0]),
        # a real restart, after which the counter rests or goes on
        ([1100.0, 0.0, 60.0, 120.0], [1.0, 1.0]),
        ([1100.0, 0.0, 0.0, 60.0], [0.0, 1.0]),
        ([1100.0, 6.0, 66.0], [0.1, 1.0]),
        # a counter of 32 bits wraps, and a restart near its end is none
        ([2.0**32 - 180, 2.0**32 - 120, 2.0**32 - 60, 0.0, 60.0], [1.0, 1.0, 1.0, 1.0]),
        ([2.0**32 - 60, 60.0], [1.0]),
        ([3e9, 3e9 + 60, 60.0], [1.0, 1.0]),
        # a counter of 64 bits has no wrap there
        ([2.0**40, 60.0], [1.0]),
    ],
)
def test_falling_counts_that_are_no_resets(counts: list[float], rates: list[float]) -> None:
    assert CounterRates().rates(frame(counts))["value"].to_list() == pytest.approx(rates)


def test_a_late_count_gets_its_rate_and_the_known_rates_stay() -> None:
    early = rates_of(EMPTY, frame([0.0, 60.0]))
    ahead = rates_of(early.recent, frame([180.0], first=3))
    late = rates_of(ahead.recent, frame([150.0], first=2))
    assert [one.rates["value"].to_list() for one in (early, ahead, late)] == [[1.0], [1.0], [1.5]]
    assert rates_of(late.recent, frame([240.0], first=4)).rates["value"].to_list() == [1.0]


def test_an_earlier_history_gives_a_rate_to_the_count_that_was_first() -> None:
    late = rates_of(EMPTY, frame([400.0, 460.0], first=5))
    early = rates_of(late.recent, frame([100.0, 160.0]))
    assert late.rates["value"].to_list() == [1.0]
    assert early.rates.select("ts", "value").rows() == [
        (T0 + timedelta(seconds=60), 1.0),
        (T0 + timedelta(seconds=300), 1.0),
    ]
    assert early.contradicting.is_empty()
    assert early.late.is_empty()


def test_a_count_that_comes_again_changes_nothing_and_another_count_for_that_time_is_rejected() -> None:
    known = rates_of(EMPTY, frame([0.0, 60.0]))
    again = rates_of(known.recent, frame([0.0, 60.0]))
    assert (again.rates.height, again.duplicates, again.contradicting.height) == (0, 2, 0)
    assert again.recent.equals(known.recent)
    other = rates_of(known.recent, frame([70.0, 120.0], first=1))
    assert other.rates["value"].to_list() == [1.0]
    assert other.contradicting["reason"].to_list() == [
        "count 70.0 contradicts 60.0, which was counted at that time"
    ]


def test_a_count_that_is_too_late_for_a_rate_is_rejected() -> None:
    known = rates_of(EMPTY, frame([60.0 * n for n in range(10, 30)], first=10))
    assert known.recent.height == KEPT_COUNTS
    late = rates_of(known.recent, frame([0.0]))
    assert late.rates.is_empty()
    assert "not known any more" in late.late["reason"][0]
    assert late.recent.equals(known.recent)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_the_order_in_one_request_does_not_matter(order: list[int], cut: int) -> None:
    whole = frame([60.0 * n * n for n in range(12)])
    shuffled = whole[order]
    assert rates_of(EMPTY, shuffled).rates.equals(rates_of(EMPTY, whole).rates)
    parts = rates_of(rates_of(EMPTY, whole[:cut]).recent, whole[cut:][::-1])
    assert parts.rates.equals(rates_of(EMPTY, whole).rates[max(0, cut - 1) :])
