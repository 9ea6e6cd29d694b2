"""Native histograms: what was counted between two of them, and how they are read."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from fakes.remote_write_2 import VERSION_1
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from pipelines.sources.native_histograms import CUSTOM, Counted, NativeHistogram, ResetHint, read_histogram

VALUES = st.lists(st.floats(-1e3, 1e3), max_size=40)
SCHEMAS = st.integers(-4, 8)
NO_BUCKETS = Counted(np.empty(0, dtype=np.int64), np.empty(0))


def histogram_of(
    values: list[float], schema: int, *, around: float = 1e-3, at_ms: int = 1000
) -> NativeHistogram:
    """What a client counts of some values."""
    sides: list[dict[int, float]] = [{}, {}]
    zeros = 0.0
    for value in values:
        if abs(value) <= around:
            zeros += 1
        else:
            side = sides[value < 0]
            index = math.ceil(math.log2(abs(value)) * 2.0**schema)
            side[index] = side.get(index, 0.0) + 1
    positive, negative = (
        Counted(
            np.array(sorted(one), dtype=np.int64),
            np.array([one[key] for key in sorted(one)], dtype=np.float64),
        )
        for one in sides
    )
    return NativeHistogram(
        time_ms=at_ms,
        start_ms=0,
        schema=schema,
        count=float(len(values)),
        total=math.fsum(values),
        zero_threshold=around,
        zero_count=zeros,
        positive=positive,
        negative=negative,
        bounds=np.empty(0),
        hint=ResetHint.UNKNOWN,
    )


def bars(one: NativeHistogram) -> dict[float, float]:
    """Upper end -> count, of populated buckets."""
    buckets = one.buckets()
    return {
        float(upper): float(count)
        for upper, count in zip(buckets.upper, buckets.counts, strict=True)
        if count
    }


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES, SCHEMAS, SCHEMAS)
def test_what_was_counted_since_is_the_histogram_of_the_new_values(
    old: list[float], new: list[float], schema: int, old_schema: int
) -> None:
    """Also when the resolution changed: then at the lower one."""
    earlier, later = histogram_of(old, old_schema), histogram_of(old + new, schema)
    grown = later.since(earlier)
    assert grown is not None
    assert bars(grown) == pytest.approx(bars(histogram_of(new, min(schema, old_schema))))


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES, SCHEMAS, st.integers(-6, 4))
def test_a_wider_bucket_around_0_takes_in_the_buckets_inside_it(
    old: list[float], new: list[float], schema: int, power: int
) -> None:
    around = 2.0**power  # an end of buckets in every schema
    earlier, later = histogram_of(old, schema, around=2.0**-8), histogram_of(old + new, schema, around=around)
    grown = later.since(earlier)
    assert grown is not None
    least = min(schema, 0)
    if power % 2**-least == 0:
        assert bars(grown) == pytest.approx(bars(histogram_of(new, schema, around=around)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([1.0, 2.0, 3.0], [5.0]),  # fewer values
        ([1.0, 2.0], [5.0, 6.0, 7.0]),  # more values, but a bucket lost some
        ([0.0, 0.0], [5.0, 6.0, 7.0]),
    ],
)
def test_after_a_reset_all_values_are_new(old: list[float], new: list[float]) -> None:
    later = histogram_of(new, 3)
    assert later.since(histogram_of(old, 3)) is later


@pytest.mark.parametrize("value", [0.3, 5.0, 700.0])
def test_a_quantile_is_as_near_as_its_bucket_is_narrow(value: float) -> None:
    found = histogram_of([value] * 10, 3).buckets().quantile(0.5, math.nan, math.nan)
    assert found == pytest.approx(value, rel=2 ** (1 / 8) - 1)


def test_interpolation_is_exponential_as_in_prometheus() -> None:
    """https://prometheus.io/docs/specs/native_histograms/: the middle of (1, 2] is the square root of 2."""
    found = histogram_of([1.5] * 10, 0).buckets().quantile(0.5, math.nan, math.nan)
    assert found == pytest.approx(math.sqrt(2))
    zero = histogram_of([0.0] * 10, 0, around=1.0).buckets().quantile(0.25, math.nan, math.nan)
    assert zero == pytest.approx(0.25)  # linear around 0, which is the lower end where nothing is below it


GOOD: dict[str, Any] = {
    "count_int": 9,
    "sum": 12.0,
    "schema": 1,
    "zero_threshold": 0.001,
    "zero_count_int": 1,
    "positive_spans": [{"offset": -2, "length": 2}, {"offset": 3, "length": 1}],
    "positive_deltas": [1, 2, -1],
    "negative_spans": [{"offset": 1, "length": 1}],
    "negative_deltas": [2],
}
CUSTOM_GOOD: dict[str, Any] = {
    "count_int": 3,
    "sum": 12.0,
    "schema": CUSTOM,
    "custom_values": [1.0, 5.0],
    "positive_spans": [{"offset": 1, "length": 2}],
    "positive_deltas": [1, 1],
}
FLOATS: dict[str, Any] = {
    "count_float": 4.5,
    "sum": 12.0,
    "zero_count_float": 1.0,
    "positive_spans": [{"offset": 0, "length": 2}],
    "positive_counts": [1.5, 2.0],
}


def read(fields: dict[str, Any]) -> NativeHistogram:
    return read_histogram(memoryview(VERSION_1["Histogram"](**fields).SerializeToString()))


def test_spans_deltas_and_floats_are_read() -> None:
    one = read(GOOD)
    assert one.positive.indexes.tolist() == [-2, -1, 3]
    assert one.positive.counts.tolist() == [1.0, 3.0, 2.0]
    assert (one.negative.indexes.tolist(), one.negative.counts.tolist()) == ([1], [2.0])
    assert (one.count, one.zero_count) == (9.0, 1.0)
    assert read(FLOATS).positive.counts.tolist() == [1.5, 2.0]
    assert read({**GOOD, "reset_hint": 3}).is_gauge


def test_custom_buckets_are_those_of_a_classic_histogram() -> None:
    buckets = read(CUSTOM_GOOD).buckets()
    assert buckets.upper.tolist() == [1.0, 5.0, math.inf]
    assert buckets.counts.tolist() == [0.0, 1.0, 2.0]
    assert buckets.quantile(0.99, math.nan, math.nan) == 5.0
    more = {**CUSTOM_GOOD, "count_int": 5, "positive_deltas": [3, -1]}
    grown = read(more).since(read(CUSTOM_GOOD))
    assert grown is not None
    assert bars(grown) == {5.0: 2.0}
    other = read({**CUSTOM_GOOD, "custom_values": [1.0, 6.0]})
    assert other.since(read(CUSTOM_GOOD)) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({**GOOD, "schema": 9}, "schema 9"),
        ({**GOOD, "schema": -54}, "schema -54"),
        ({**GOOD, "count_int": 8}, "not as many values"),
        ({**GOOD, "positive_deltas": [1, 2]}, "more buckets"),
        ({**GOOD, "positive_deltas": [1, 2, -1, 1]}, "3 buckets, but 4"),
        ({**GOOD, "positive_deltas": [1, -2, 1]}, "below 0"),
        (
            {**GOOD, "positive_spans": [{"offset": 0, "length": 2}, {"offset": -1, "length": 1}]},
            "begins before",
        ),
        ({**GOOD, "positive_spans": [{"offset": 2**31 - 2, "length": 3}]}, "32 bits"),
        ({**GOOD, "positive_spans": [{"offset": 0, "length": 2**32 - 1}]}, "more buckets"),
        ({**GOOD, "zero_threshold": math.inf}, "zero threshold"),
        ({**GOOD, "zero_threshold": -1.0}, "zero threshold"),
        ({**GOOD, "custom_values": [1.0]}, "custom bounds"),
        ({**FLOATS, "positive_counts": [math.nan, 2.0]}, "not finite"),
        ({**FLOATS, "count_float": math.inf}, "not finite"),
        ({**FLOATS, "zero_count_float": -1.0}, "below 0"),
        ({**CUSTOM_GOOD, "custom_values": [5.0, 1.0]}, "do not rise"),
        ({**CUSTOM_GOOD, "custom_values": [1.0, math.inf]}, "do not rise"),
        ({**CUSTOM_GOOD, "custom_values": [1.0]}, "no bound"),
        ({**CUSTOM_GOOD, "zero_count_int": 1, "count_int": 4}, "neither negative"),
    ],
)
def test_a_histogram_that_contradicts_itself_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(fields)


def test_the_marker_of_the_end_of_a_series_is_a_histogram() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    assert struct.pack("<d", read({"sum": stale}).total) == struct.pack("<d", stale)
