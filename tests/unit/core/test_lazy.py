"""A lazy value is computed once, whoever asks first."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.lazy import Lazy


def test_threads_that_ask_at_once_share_one_computation() -> None:
    computed: list[object] = []

    def compute() -> object:
        time.sleep(0.05)  # long enough for the others to ask meanwhile
        computed.append(object())
        return computed[-1]

    lazy = Lazy(compute)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: lazy.get(), range(8)))
    assert len(computed) == 1
    assert all(one is computed[0] for one in found)


def test_a_computation_that_failed_is_tried_again() -> None:
    results: Iterator[ValueError | int] = iter([ValueError("not yet"), 7])

    def compute() -> int:
        result = next(results)
        if isinstance(result, ValueError):
            raise result
        return result

    lazy = Lazy(compute)
    with pytest.raises(ValueError, match="not yet"):
        lazy.get()
    assert (lazy.get(), lazy.get()) == (7, 7)
