"""Quantiles of the buckets of histograms, and how the buckets are read."""

import gzip
import math
from typing import Any

import numpy as np
import pytest
from fakes.remote_write import varint
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from pipelines.sources.otlp import MAX_BYTES, decompressed
from pipelines.sources.otlp_quantiles import explicit_buckets, exponential_buckets
from pipelines.sources.protobuf import packed_varints

NAN = math.nan
SHARES = st.floats(0.001, 0.999)


@pytest.mark.parametrize(
    ("counts", "bounds", "share", "least", "most", "expected"),
    [
        ([10, 10], [1.0], 0.25, NAN, NAN, 0.5),  # the first bucket begins at 0
        ([10, 10], [1.0], 0.75, NAN, NAN, 1.0),  # the last bucket is open: its lower end
        ([10, 10], [1.0], 0.75, NAN, 3.0, 2.0),  # ... or halfway to the highest value
        ([10, 0], [-1.0], 0.5, NAN, NAN, -1.0),  # below 0 the first bucket is open, too
        ([10, 0], [-1.0], 0.5, -3.0, NAN, -2.0),
        ([0, 10, 0], [1.0, 2.0], 0.99, 1.2, 1.3, 1.3),  # no value is above the highest one
        ([0, 0], [1.0], 0.5, NAN, NAN, NAN),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(
    counts: list[int], bounds: list[float], share: float, least: float, most: float, expected: float
) -> None:
    buckets = explicit_buckets({"bucketCounts": np.array(counts), "explicitBounds": np.array(bounds)})
    assert buckets is not None
    assert buckets.quantile(share, least, most) == pytest.approx(expected, nan_ok=True)


def test_a_histogram_of_one_bucket_has_no_quantiles() -> None:
    assert explicit_buckets({"bucketCounts": np.array([5])}) is None
    assert explicit_buckets({}) is None


@settings(max_examples=50)
@given(st.lists(st.floats(-1e3, 1e3), min_size=20, max_size=60), st.integers(0, 3), SHARES, SHARES)
def test_quantiles_of_exponential_buckets_rise_and_are_as_near_as_the_buckets_are_narrow(
    values: list[float], scale: int, share: float, other: float
) -> None:
    base = 2.0 ** (2.0**-scale)
    counts: dict[bool, dict[int, int]] = {True: {}, False: {}}
    zeros = 0
    for value in values:
        if abs(value) < 1e-6:
            zeros += 1
        else:
            index = math.ceil(math.log(abs(value), base)) - 1
            side = counts[value > 0]
            side[index] = side.get(index, 0) + 1
    sides: list[dict[str, Any]] = []
    for side in (counts[True], counts[False]):
        first = min(side, default=0)
        filled = [side.get(first + n, 0) for n in range(max(side, default=first - 1) - first + 1)]
        sides.append({"offset": first, "bucketCounts": np.array(filled, dtype=np.float64)})
    buckets = exponential_buckets({"scale": scale, "zeroCount": zeros, "zeroThreshold": 1e-6}, *sides)
    low, high = sorted((share, other))
    found = [buckets.quantile(one, min(values), max(values)) for one in (low, high)]
    assert found[0] <= found[1]
    exact = sorted(values)[max(0, math.ceil(low * len(values) - 1e-9) - 1)]
    assert found[0] == pytest.approx(exact, rel=base - 1 + 1e-6, abs=2e-6)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_packed_numbers_are_read_at_once(numbers: list[int]) -> None:
    assert packed_varints(memoryview(b"".join(map(varint, numbers)))).tolist() == numbers


@pytest.mark.parametrize("cut", [b"\x80", b"\x01\xff", b"\xff" * 10 + b"\x01"])
def test_packed_numbers_that_are_cut_or_too_long_are_refused(cut: bytes) -> None:
    with pytest.raises(IndexError):
        packed_varints(memoryview(cut))


def test_a_body_of_several_parts_of_gzip_is_one_body() -> None:
    assert decompressed(gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends too early"),
        (b"no gzip", "not compressed with gzip"),
        (gzip.compress(b"x" * 100)[:-5], "ends too early"),
        (gzip.compress(b"x") + b"rest", "not compressed with gzip"),
        (gzip.compress(bytes(MAX_BYTES + 1)), "bytes uncompressed"),
        (gzip.compress(bytes(MAX_BYTES // 2)) * 3, "bytes uncompressed"),
    ],
    ids=["empty", "text", "cut", "more", "too large", "too large in parts"],
)
def test_what_is_no_gzip_or_expands_too_much_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decompressed(body)
