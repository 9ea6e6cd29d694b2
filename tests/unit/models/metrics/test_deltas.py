"""Rates of deltas are the sums of what was counted, however the deltas come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.arrays import FloatArray
from models.metrics.deltas import DELTA_LABEL, MARK, MAX_SPREAD_MS, starts_of
from models.metrics.raw_samples import RawSamples

#: Start and end in ms, and the delta.
Delta = tuple[int, int, float]
WINDOW_S = 300
LABELS = [{"__name__": "hits_total", DELTA_LABEL: "1", "instance": one} for one in ("a", "b")]


def samples_of(series: list[list[Delta]]) -> RawSamples:
    """The samples that are kept of the deltas of some series."""
    rows, times, values = [], [], []
    for row, deltas in enumerate(series):
        for start, end, value in deltas:
            (mark,) = starts_of(np.array([start]), np.array([end])).tolist()
            rows += [row, row]
            times += [mark, end]
            values += [MARK, value]
    return RawSamples(
        LABELS[: len(series)],
        np.array(rows, dtype=np.int64),
        np.array(times, dtype=np.int64),
        np.array(values),
    )


def increases(deltas: list[Delta], ends_s: list[float], window_s: int = WINDOW_S) -> list[float]:
    """What the windows that end at these times count; NaN: nothing was sent for them."""
    times = (np.array(ends_s) * 1000).astype(np.int64)
    found = samples_of([deltas]).rates_at(np.array([0]), times, window_s)
    values: list[float] = np.where(found.present, found.values * window_s, np.nan)[0].tolist()
    return values


def steady(count: int, every_s: int = 30, delta: float = 6.0) -> list[Delta]:
    return [(n * every_s * 1000, (n + 1) * every_s * 1000, delta) for n in range(count)]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param(steady(40), 60.0, id="steady"),
        pytest.param(steady(40) * 2, 60.0, id="each delta comes twice"),
        pytest.param(steady(40)[::-1], 60.0, id="in the reverse order"),
        pytest.param(steady(8), np.nan, id="the sender stopped long before"),
        pytest.param(steady(21), 6.0, id="the sender stopped in the window"),
        pytest.param([(615_000, 630_000, 1.0)], 1.0, id="a single event"),
        pytest.param([(615_000, 630_000, 0.0)], 0.0, id="nothing was counted"),
        pytest.param([(580_000, 620_000, 4.0)], 2.0, id="half of a delta lies in the window"),
        pytest.param([(880_000, 920_000, 4.0)], 2.0, id="half of a delta lies after the window"),
        pytest.param([(0, 620_000, 90.0)], 90.0 * 20 / 45, id="a long delta counts in its last 45 seconds"),
        pytest.param([(650_000, 650_000, 3.0)], 3.0, id="an interval of less than a millisecond"),
        pytest.param([(600_000, 640_000, 5.0), (620_000, 660_000, 7.0)], 12.0, id="deltas overlap"),
        pytest.param([(700_000, 740_000, 1e300), (740_000, 780_000, 1.0)], 1e300, id="an enormous delta"),
    ],
)
def test_a_window_counts_what_lies_in_it(deltas: list[Delta], expected: float) -> None:
    (found,) = increases(deltas, [900])
    assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)


DELTAS = st.lists(
    st.tuples(
        st.integers(0, 40_000),  # a gap before
        st.integers(1, 90_000),  # length
        st.floats(0, 1e9, allow_subnormal=False),
    ),
    min_size=1,
    max_size=30,
)


def placed(parts: list[tuple[int, int, float]]) -> list[Delta]:
    found, at = [], 0
    for gap, length, value in parts:
        found.append((at + gap, at + gap + length, value))
        at += gap + length
    return found


@settings(deadline=None, max_examples=60)
@given(parts=DELTAS, other=DELTAS)
def test_windows_that_touch_count_each_delta_once(
    parts: list[tuple[int, int, float]], other: list[tuple[int, int, float]]
) -> None:
    series = [placed(parts), placed(other)]
    length_s = max(one[-1][1] for one in series) // 1000 + 1
    ends = np.arange(7, length_s + 14, 7, dtype=np.int64) * 1000
    found = samples_of([one + one[::2] for one in series]).rates_at(np.array([1, 0]), ends, 7)
    for place, one in zip((1, 0), series, strict=True):
        counted: FloatArray = np.where(found.present, found.values * 7, 0.0)[place]
        total = sum(value for _, _, value in one)
        assert counted.sum() == pytest.approx(total, rel=1e-9, abs=1e-9)
        for end, value in zip(ends.tolist(), counted.tolist(), strict=True):
            assert value == pytest.approx(in_window(one, end - 7_000, end), rel=1e-9, abs=1e-6)


def in_window(deltas: list[Delta], first: int, last: int) -> float:
    """The part of the deltas that lies in a window, one by one."""
    total = 0.0
    for begin, end, value in deltas:
        start = min(max(begin, end - MAX_SPREAD_MS), end - 1)
        total += value * max(0, min(end, last) - max(start, first)) / (end - start)
    return total


def test_deltas_change_no_rate_of_counts() -> None:
    counts = [{"__name__": "hits_total", "instance": "c"}]
    times = np.arange(0, 1_200_000, 15_000, dtype=np.int64)
    values: FloatArray = np.arange(len(times)) * np.float64(3)
    alone = RawSamples(counts, np.zeros(len(times), dtype=np.int64), times, values)
    both = RawSamples(
        [*counts, LABELS[0]],
        np.append(np.zeros(len(times), dtype=np.int64), [1, 1]),
        np.append(times, [15_000, 30_000]),
        np.append(values, [MARK, 4.0]),
    )
    ends = np.array([300_000, 600_000])
    place = next(at for at, labels in enumerate(both.labels) if DELTA_LABEL not in labels)
    np.testing.assert_array_equal(
        alone.rates_at(np.array([0]), ends, 300).values, both.rates_at(np.array([place]), ends, 300).values
    )
    assert both.interval_s("job") == alone.interval_s("job")
