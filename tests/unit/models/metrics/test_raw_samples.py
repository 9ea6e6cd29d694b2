"""Values and rates of raw samples, against slow translations of what Prometheus does."""

import math
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from models.metrics.raw_samples import LOOKBACK_MS, RawSamples, having, matches

Sample = tuple[int, float]
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def raw(*series: Sequence[Sample]) -> RawSamples:
    """The samples of series that are named by their number."""
    rows = [(row, *sample) for row, samples in enumerate(series) for sample in samples]
    return RawSamples(
        [{"__name__": "m", "number": f"{row:03d}"} for row in range(len(series))],
        np.array([row for row, _, _ in rows], dtype=np.int64),
        np.array([time_ms for _, time_ms, _ in rows], dtype=np.int64),
        np.array([value for _, _, value in rows], dtype=np.float64),
    )


def is_stale(value: float) -> bool:
    return math.isnan(value) and struct.pack("<d", value) in {
        struct.pack("<Q", 0x7FF0000000000002),
        struct.pack("<Q", 0x7FF8000000000002),
    }


def slow_rate(samples: Sequence[Sample], end_ms: int, window_s: int) -> float | None:
    """extrapolatedRate of promql/functions.go, line by line."""
    start_ms = end_ms - window_s * 1000
    points = [(t, v) for t, v in samples if start_ms <= t <= end_ms and not is_stale(v)]
    if len(points) < 2:
        return None
    result = points[-1][1] - points[0][1]
    previous = points[0][1]
    for _, value in points[1:]:
        if value < previous:
            result += previous
        previous = value
    to_start = (points[0][0] - start_ms) / 1000
    to_end = (end_ms - points[-1][0]) / 1000
    sampled = (points[-1][0] - points[0][0]) / 1000
    between = sampled / (len(points) - 1)
    if result > 0 and points[0][1] >= 0:
        to_start = min(to_start, sampled * (points[0][1] / result))
    extrapolated = sampled
    extrapolated += to_start if to_start < between * 1.1 else between / 2
    extrapolated += to_end if to_end < between * 1.1 else between / 2
    return result * (extrapolated / sampled / window_s)


def slow_value(samples: Sequence[Sample], at_ms: int) -> float | None:
    """vectorSelectorSingle of promql/engine.go."""
    before = [(t, v) for t, v in samples if at_ms - LOOKBACK_MS <= t <= at_ms]
    return None if not before or is_stale(before[-1][1]) else before[-1][1]


def slow_extremes(samples: Sequence[Sample], end_ms: int, window_s: int) -> tuple[float, float] | None:
    """max_over_time and min_over_time of promql/functions.go: NaN only where there is nothing else."""
    window = [v for t, v in samples if end_ms - window_s * 1000 <= t <= end_ms and not is_stale(v)]
    known = [value for value in window if not math.isnan(value)]
    return (max(known), min(known)) if known else (math.nan, math.nan) if window else None


COUNTS = st.one_of(
    st.floats(0, 1e15), st.integers(0, 50).map(float), st.just(STALE), st.just(math.nan), st.floats(-5, 0)
)
SERIES = st.lists(
    st.tuples(st.integers(0, 700_000), COUNTS), min_size=0, max_size=40, unique_by=lambda sample: sample[0]
).map(sorted)


@given(
    st.lists(SERIES, min_size=1, max_size=4),
    st.lists(st.integers(-1_000, 1_200_000), min_size=1, max_size=6),
    st.integers(1, 700),
)
def test_rates_values_and_extremes_are_those_of_prometheus(
    series: list[list[Sample]], times_ms: list[int], window_s: int
) -> None:
    samples = raw(*series)
    every, times = samples.of_metric("m"), np.array(times_ms, dtype=np.int64)
    rates, values = samples.rates_at(every, times, window_s), samples.values_at(every, times)
    highest, lowest = samples.extremes_at(every, times, window_s)
    for row, own in enumerate(series):
        for column, at_ms in enumerate(times_ms):
            most, least = slow_extremes(own, at_ms, window_s) or (None, None)
            for found, expected in (
                (rates, slow_rate(own, at_ms, window_s)),
                (values, slow_value(own, at_ms)),
                (highest, most),
                (lowest, least),
            ):
                assert found.present[row, column] == (expected is not None)
                if expected is not None:
                    np.testing.assert_array_equal(found.values[row, column], expected)


def test_a_small_rate_after_large_resets_keeps_its_digits() -> None:
    busy = [(second * 1000, 1e15 if second % 2 else 0.0) for second in range(100)]
    quiet = [(second * 1000, second * 1e-3) for second in range(100, 200)]
    samples = raw([*busy, *quiet])
    rate = samples.rates_at(samples.of_metric("m"), np.array([199_000], dtype=np.int64), 60)
    assert rate.values[0, 0] == pytest.approx(1e-3, rel=1e-9)


def test_of_two_samples_of_one_time_the_first_counts() -> None:
    samples = raw([(0, 1.0), (1000, 5.0), (1000, 7.0)])
    assert samples.values_at(samples.of_metric("m"), np.array([1000], dtype=np.int64)).values.tolist() == [
        [5.0]
    ]


def test_the_usual_interval_is_that_of_the_slowest_job() -> None:
    labels = [{"__name__": "m", "job": job, "n": str(n)} for n, job in enumerate(("fast", "fast", "slow"))]
    times = [0, 15_000, 30_000, 0, 15_000, 90_000, 0, 60_000, 120_000]
    samples = RawSamples(
        labels, np.repeat([0, 1, 2], 3), np.array(times, dtype=np.int64), np.zeros(len(times))
    )
    assert samples.interval_s("job") == 60.0
    assert raw([(0, 1.0)]).interval_s("job") is None
    assert raw().interval_s("job") is None


def test_expressions_match_whole_values_as_in_prometheus() -> None:
    assert matches(["500", "5000", "x500", "ERROR"], "5..|(?i:error)").tolist() == [True, False, False, True]
    labels = [{"code": "500"}, {"code": "200"}, {}]
    assert having(labels, {"code": "5.."}).tolist() == [True, False, False]
    assert having(labels, {"code": "|5.."}, negated=True).tolist() == [False, True, False]
    with pytest.raises(InputError, match="no regular expression"):
        matches(["a"], "(")
