"""Chunks keep their order, here and in spawned processes."""

import math
import sys

import pytest

from core.errors import ConfigurationError
from pipelines.parallel import chunked, map_chunks


def test_chunks_hold_everything_in_order() -> None:
    assert chunked([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert chunked([], 3) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_chunks(workers: int) -> None:
    assert list(map_chunks(math.factorial, [1, 2, 3, 4], workers=workers)) == [1, 2, 6, 24]


def test_a_cluster_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(ConfigurationError, match="needs prefect-dask"):
        list(map_chunks(math.factorial, [1, 2], workers=2, compute="dask"))
