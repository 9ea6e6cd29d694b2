"""Counters as rates, against a plain loop."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frames import CREATED, SAMPLES
from pipelines.collect.counter_rates import JITTER, KEPT_COUNTS, MOST_LOST, rates_of, without_starts

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def frame(values: list[float], first: int = 0, series_id: int = 1) -> pl.DataFrame:
    rows = [(series_id, T0 + timedelta(seconds=60 * (first + n)), value) for n, value in enumerate(values)]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def naive_rates(values: list[float]) -> list[float]:
    """A loop over counts at steps of 60 s: the rate of each but the first, and of failed readings none.

    The counts are too small to wrap.
    """
    rates = []
    for n in range(1, len(values)):
        value, previous, since = values[n], values[n - 1], 1
        past = values[max(0, n - 1 - MOST_LOST) : n]
        zeros = next((zeros for zeros in range(len(past)) if past[-1 - zeros] != 0), len(past))
        if 0 < zeros < len(past) and value >= past[-1 - zeros] * (1 - JITTER):
            previous, since = past[-1 - zeros], zeros + 1
        elif not zeros:
            level = next(
                (k for k in range(1, len(past)) if min(past[-1], past[-k]) < past[-1 - k] * (1 - JITTER)),
                len(past),
            )
            previous = max(past[-level:])
        if value >= previous:
            rates.append((value - previous) / (60 * since))
        elif value > 0:
            rates.append(0.0 if value >= previous * (1 - JITTER) else value / 60)
    return rates


EMPTY = pl.DataFrame(schema=SAMPLES)


def rates_in_pieces(*pieces: pl.DataFrame) -> list[float]:
    """The rates of frames that come one after the other."""
    rates: list[float] = []
    recent = EMPTY
    for piece in pieces:
        counted = rates_of(recent, piece)
        recent = counted.recent
        rates += counted.rates["value"].to_list()
    return rates


def test_a_counter_becomes_its_rate_and_a_reset_starts_from_zero() -> None:
    rates = rates_of(EMPTY, frame([60.0, 120.0, 30.0, 30.0])).rates
    assert rates["value"].to_list() == [1.0, 0.5, 0.0]
    assert rates["ts"][0] == T0 + timedelta(seconds=60)


def test_series_do_not_mix() -> None:
    both = pl.concat([frame([0.0, 60.0]), frame([600.0, 1200.0], series_id=2)])
    assert rates_in_pieces(both) == [1.0, 10.0]


def test_missing_values_are_bridged() -> None:
    assert rates_in_pieces(frame([0.0]), frame([120.0], first=2)) == [1.0]


@given(
    st.lists(st.floats(min_value=0, max_value=1e9) | st.integers(0, 3).map(float), min_size=2, max_size=30),
    st.integers(min_value=0, max_value=30),
)
def test_pieces_give_the_same_rates_as_the_whole(values: list[float], cut: int) -> None:
    cut = min(cut, len(values))
    assert rates_in_pieces(frame(values[:cut]), frame(values[cut:], first=cut)) == naive_rates(values)


def test_a_sample_that_comes_twice_makes_one_rate() -> None:
    assert rates_in_pieces(frame([0.0, 60.0]), frame([60.0, 120.0], first=1)) == [1.0, 1.0]


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
        ([2.0**32 - 60, 60.0], [2.0]),
        ([3e9, 3e9 + 60, 60.0], [1.0, 1.0]),
        # a counter of 64 bits wraps later
        ([2.0**64 - 2.0**21, 2.0**64 - 2.0**20, 2.0**20], [2.0**20 / 60, 2.0**21 / 60]),
        # a reading that failed, next to a count that goes back a little
        ([1000.0, 1060.0, 0.0, 1059.0, 1119.0], [1.0, 0.0, 1.0]),
        # counts that go back twice
        ([1000.0, 999.5, 999.0, 1060.0], [0.0, 0.0, 1.0]),
        ([2.0**40, 60.0], [1.0]),
    ],
)
def test_falling_counts_that_are_no_resets(counts: list[float], rates: list[float]) -> None:
    assert rates_in_pieces(frame(counts)) == pytest.approx(rates)


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
    assert early.late.is_empty()


def test_a_count_that_comes_again_changes_nothing_and_another_count_for_that_time_is_rejected() -> None:
    known = rates_of(EMPTY, frame([0.0, 60.0]))
    again = rates_of(known.recent, frame([0.0, 60.0]))
    assert (again.rates.height, again.duplicates, again.contradicting.height) == (0, 2, 0)
    assert again.recent.equals(known.recent)
    other = rates_of(known.recent, frame([70.0, 120.0], first=1))
    assert other.rates["value"].to_list() == [1.0]
    assert other.contradicting["reason"].to_list() == [
        "count 70.0 contradicts 60.0, the first count for that time"
    ]


def test_a_late_count_without_a_known_predecessor_has_no_rate() -> None:
    known = rates_of(EMPTY, frame([60.0 * n for n in range(10, 30)], first=10))
    assert known.recent.height == 1 + KEPT_COUNTS
    late = rates_of(known.recent, frame([60.0 * 15 + 30, 60.0 * 15 + 45], first=15)[:1])
    assert late.rates.is_empty()
    assert "not known any more" in late.late["reason"][0]
    assert late.recent["ts"].to_list() == known.recent["ts"].to_list()


def test_a_long_history_that_comes_in_any_order_of_files_gives_the_rates_between_them() -> None:
    files = [frame([60.0 * n for n in range(at, at + 20)], first=at) for at in (40, 0, 20, 60)]
    rates, recent = [], EMPTY
    for file in files:
        counted = rates_of(recent, file)
        recent = counted.recent
        rates.append(counted.rates["value"].to_list())
    # 40 gets a rate from 19; the count before 20 is not known any more; 60 follows 59.
    assert [len(one) for one in rates] == [19, 20, 19, 20]
    assert {value for one in rates for value in one} == {1.0}


def test_a_history_that_is_read_again_gives_the_same_rates() -> None:
    whole = frame([60.0 * n * n for n in range(30)])
    first = rates_of(EMPTY, whole)
    again = rates_of(first.recent, whole)
    assert again.rates["value"].to_list() == first.rates["value"].to_list()[: 29 - KEPT_COUNTS]
    assert again.duplicates == 1 + KEPT_COUNTS
    assert again.late.is_empty()
    assert again.recent.equals(first.recent)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_the_order_in_one_request_does_not_matter(order: list[int], cut: int) -> None:
    whole = frame([60.0 * n * n for n in range(12)])
    shuffled = whole[order]
    assert rates_of(EMPTY, shuffled).rates.equals(rates_of(EMPTY, whole).rates)
    parts = rates_of(rates_of(EMPTY, whole[:cut]).recent, whole[cut:][::-1])
    assert parts.rates.equals(rates_of(EMPTY, whole).rates[max(0, cut - 1) :])


def created(counts: pl.DataFrame, at_s: float) -> pl.DataFrame:
    """All counts count since so many seconds after `T0`."""
    return counts.select(
        "series_id", "ts", created=pl.lit(T0 + timedelta(seconds=at_s)).cast(CREATED["created"])
    )


def test_the_first_count_has_a_rate_if_it_is_known_since_when_it_counts() -> None:
    first = frame([30.0], first=1)
    counted = rates_of(EMPTY, first, created(first, 50))
    assert counted.rates["value"].to_list() == [3.0]
    assert without_starts(counted.recent).rows() == first.rows()
    later = frame([30.0, 90.0], first=1)
    again = rates_of(counted.recent, later, created(later, 50))
    assert (again.rates["value"].to_list(), again.duplicates, again.late.height) == ([1.0], 1, 0)


@pytest.mark.parametrize("count", [40.0, 100.0, 150.0])
def test_a_reset_is_exact_if_the_start_is_known_whatever_the_new_count_is(count: float) -> None:
    """Without a start, 150 after 100 is no reset, and 100 after 100 is no growth."""
    before, after = frame([100.0, 100.0]), frame([count], first=2)
    recent = rates_of(EMPTY, before, created(before, -600)).recent
    counted = rates_of(recent, after, created(after, 100))
    assert counted.rates["value"].to_list() == [count / 20]
    (following,) = rates_of(
        counted.recent, frame([count + 60], first=3), created(frame([0.0], first=3), 100)
    ).rates["value"]
    assert following == 1.0


def test_a_count_of_0_after_a_start_is_no_failed_reading() -> None:
    recent = rates_of(EMPTY, frame([100.0])).recent
    after = frame([0.0, 0.0, 120.0], first=2)
    assert rates_of(recent, after, created(after, 90)).rates["value"].to_list() == [0.0, 0.0, 2.0]


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=KEPT_COUNTS),
    st.randoms(use_true_random=False),
    st.integers(1, 3000),
)
def test_counts_with_a_start_may_come_in_any_order(steps: list[int], rng: random.Random, ago_s: int) -> None:
    """Each count has a rate, none is rejected, and the first one counts since the start."""
    total = 0
    counts = []
    for step in steps:
        total += step
        counts.append(float(total))
    whole = frame(counts)
    order = list(range(len(counts)))
    rng.shuffle(order)
    recent, rated = EMPTY, 0
    for place in order:
        piece = whole[place : place + 1]
        counted = rates_of(recent, piece, created(piece, -ago_s))
        recent, rated = counted.recent, rated + counted.rates.height
        assert (counted.late.height, counted.contradicting.height, counted.duplicates) == (0, 0, 0)
        if place == 0:
            assert counted.rates.filter(pl.col("ts") == T0)["value"].to_list() == [counts[0] / ago_s]
    assert rated == len(counts)
    again = rates_of(recent, whole, created(whole, -ago_s))
    assert (again.rates.height, again.duplicates) == (0, len(counts))


def test_counts_within_the_window_may_come_in_any_order_and_none_is_lost() -> None:
    whole = frame([60.0 * n for n in range(KEPT_COUNTS)])
    for seed in range(30):
        order = list(range(KEPT_COUNTS))
        random.Random(seed).shuffle(order)
        recent, rates = EMPTY, []
        for place in order:
            counted = rates_of(recent, whole[place : place + 1])
            recent = counted.recent
            rates += counted.rates["value"].to_list()
            assert counted.late.height == 0
        assert rates == [1.0] * (KEPT_COUNTS - 1)
