"""Which samples of sizes are kept: windows of whole steps have the same extremes with them as with all samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.pushed_history import extremes_and_last

STEP_MS = 300_000
SIZES = st.lists(
    st.tuples(st.integers(1, 20 * STEP_MS), st.sampled_from([1.0, 2.0, 2.01, 3.0])),
    max_size=60,
    unique_by=lambda sample: sample[0],
)


@given(st.lists(SIZES, min_size=1, max_size=3), st.integers(0, 19), st.integers(1, 20))
def test_extremes_of_whole_steps_need_only_a_few_samples(
    series: list[list[tuple[int, float]]], first: int, steps: int
) -> None:
    rows = [(row, *sample) for row, samples in enumerate(series) for sample in samples]
    ids, times_ms, values = (np.array([one[at] for one in rows]) for at in range(3))
    ids, times_ms, values = ids.astype(np.int64), times_ms.astype(np.int64), values.astype(np.float64)
    kept = extremes_and_last(ids, -(-times_ms // STEP_MS), times_ms, values)
    for row in range(len(series)):
        # Both ends of a window count, as in Prometheus 2.
        inside = (ids == row) & (times_ms >= first * STEP_MS) & (times_ms <= (first + steps) * STEP_MS)
        thin = np.isin(np.arange(len(ids)), kept) & inside
        for extreme in (np.fmax, np.fmin):
            every, few = (extreme.reduce(values[one], initial=math.nan) for one in (inside, thin))
            assert few == pytest.approx(every, nan_ok=True)


def test_a_size_that_stays_is_one_sample_a_step() -> None:
    times_ms = np.arange(0, 3 * STEP_MS, 15_000, dtype=np.int64) + 15_000
    ids, values = np.zeros(len(times_ms), dtype=np.int64), np.full(len(times_ms), 5.0)
    kept = extremes_and_last(ids, -(-times_ms // STEP_MS), times_ms, values)
    assert times_ms[kept].tolist() == [STEP_MS, 2 * STEP_MS, 3 * STEP_MS]
