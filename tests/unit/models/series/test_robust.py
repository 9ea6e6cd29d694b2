"""Order statistics against NumPy's own, to the last bit."""

import numpy as np
import pytest

from core.arrays import repeated
from models.series.robust import middle_of

SHAPES = [(1,), (2,), (1_007,), (1_008,), (7, 24), (6, 168), (14, 24), (1, 24)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_middle_is_the_median(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    for values in (rng.normal(100, 30, shape), rng.integers(0, 3, shape) / 3.0, np.full(shape, 0.1)):
        assert middle_of(values).tolist() == np.median(values, axis=0).tolist()


@pytest.mark.parametrize(("length", "count"), [(1, 48), (24, 48), (24, 10), (168, 48), (5, 7), (3, 0)])
def test_values_are_repeated_as_by_resize(length: int, count: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    assert repeated(values, count).tolist() == np.resize(values, count).tolist()
