"""Pools of threads and batches: bounded, and no item waits for or fails another."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from serving.contract.errors import RefusedError
from serving.state.work import Batcher, WorkPool

T = TypeVar("T")


def in_pool(steps: Callable[[WorkPool], Awaitable[T]], *, threads: int = 1, waiting: int = 2) -> T:
    async def run() -> T:
        pool = WorkPool("tests", threads=threads, waiting=waiting)
        try:
            return await steps(pool)
        finally:
            pool.close()

    return asyncio.run(run())


def test_work_runs_in_a_thread_and_its_error_reaches_the_caller() -> None:
    async def steps(pool: WorkPool) -> str:
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        return await pool.run(lambda: threading.current_thread().name)

    assert in_pool(steps).startswith("tests")


def test_a_full_pool_refuses_at_once_and_takes_work_again_later() -> None:
    release = threading.Event()

    async def steps(pool: WorkPool) -> RefusedError:
        work = [asyncio.create_task(pool.run(release.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refused:
            await pool.run(release.wait)
        release.set()
        assert all(await asyncio.gather(*work))
        assert await pool.run(lambda: 7) == 7
        return refused.value

    error = in_pool(steps)
    assert error.status == 503
    assert int(error.headers["Retry-After"]) > 0


def test_work_that_was_cancelled_before_it_started_is_dropped() -> None:
    release, ran = threading.Event(), list[int]()

    async def steps(pool: WorkPool) -> None:
        first = asyncio.create_task(pool.run(release.wait))
        second = asyncio.create_task(pool.run(lambda: ran.append(2)))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0.01)
        release.set()
        await first
        await pool.run(lambda: ran.append(3))

    in_pool(steps)
    assert ran == [3]


def batching(
    items: Sequence[int],
    run: Callable[[Sequence[int]], Sequence[int]],
    *,
    most: int = 100,
    waiting: int = 512,
) -> list[int | BaseException]:
    async def steps(pool: WorkPool) -> list[int | BaseException]:
        batcher = Batcher[int, int](pool, run, lambda item: item, most=most, parallel=1, waiting=waiting)
        return await asyncio.gather(*(batcher.submit(item) for item in items), return_exceptions=True)

    return in_pool(steps)


def test_items_that_have_arrived_are_joined_up_to_the_size_of_a_batch() -> None:
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [2 * item for item in items]

    items = [40, 40, 40, 500, 1, 2]
    assert batching(items, run) == [2 * item for item in items]
    assert batches == [[40, 40], [40], [500], [1, 2]]


def test_an_item_that_fails_does_not_fail_its_neighbours() -> None:
    def run(items: Sequence[int]) -> list[int]:
        return [10 // item for item in items]

    first, failed, last = batching([1, 0, 2], run)
    assert (first, last) == (10, 5)
    assert isinstance(failed, ZeroDivisionError)


def test_items_beyond_the_queue_are_refused() -> None:
    outcomes = batching([1] * 10, lambda items: list(items), waiting=3)
    assert outcomes[:3] == [1, 1, 1]
    assert all(isinstance(one, RefusedError) for one in outcomes[3:])
