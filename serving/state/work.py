"""Threads for the work of requests, in pools that are bounded in threads and in waiting work.

The event loop only moves bytes. Everything that may take longer than a millisecond runs in one of these pools, so
slow work of one kind delays neither the other kinds nor the probes. A request that finds its pool full gets a 503 at
once, with Retry-After, instead of waiting for minutes.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from http import HTTPStatus
from typing import Generic, TypeVar

from serving.contract.errors import RefusedError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: After this time, a pool that was full has usually finished its waiting work.
RETRY_AFTER_S = 2


class Lane(StrEnum):
    """Which pool does the work of a route that stores no input; the others have a `PriorityLane`."""

    READS = "reads"
    MODELS = "models"
    PAGES = "pages"


class WorkPool:
    """A fixed number of threads, and a queue of bounded length before them.

    Args:
        name: for the error text and the names of the threads.
        waiting: how much work may wait for a thread.
    Attributes:
        threads: how many there are.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name = name
        self.threads = threads
        self._most = threads + waiting
        self._unfinished = 0
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, which runs in one of the threads.

        When the caller is cancelled, work that has not started is dropped; work that has started keeps its thread
        until it ends.

        Raises:
            RefusedError: 503, because too much work is waiting.
        """
        with self._lock:
            if self._unfinished >= self._most:
                raise self.full()
            self._unfinished += 1
        future = self._executor.submit(work)
        future.add_done_callback(self._finished)
        return await asyncio.wrap_future(future)

    def full(self) -> RefusedError:
        """The error of a request that finds this pool full."""
        return RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"too many requests wait for {self._name}; try again in {RETRY_AFTER_S} s",
            {"Retry-After": str(RETRY_AFTER_S)},
        )

    def close(self) -> None:
        """Drop the work that waits; work that has started ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _finished(self, future: "Future[Result]") -> None:
        with self._lock:
            self._unfinished -= 1


class Batcher(Generic[Item, Result]):
    """Joins the items that have already arrived into batches. No item waits for others to come.

    Args:
        run: the results of a batch, in order; it runs in the pool.
        weigh: the size of an item; a batch has at most `most` in all, or is one item.
        parallel: how many batches may run at once. Scoring computes, so a second batch would not be done sooner; it
            would only take time from pushed samples.
        waiting: how many items may wait.
    """

    def __init__(
        self,
        pool: WorkPool,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        weigh: Callable[[Item], int],
        *,
        most: int,
        parallel: int = 1,
        waiting: int = 512,
    ) -> None:
        self._pool = pool
        self._run = run
        self._weigh = weigh
        self._most = most
        self._idle = parallel
        self._waiting = waiting
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """The result of one item.

        Raises:
            RefusedError: 503, because too many items are waiting.
        """
        if len(self._queue) >= self._waiting:
            raise self._pool.full()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._idle:
            self._idle -= 1
            task = asyncio.create_task(self._drain())
            # The loop keeps only weak references to tasks.
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        try:
            while batch := self._next():
                await self._resolve(batch)
        finally:
            self._idle += 1

    def _next(self) -> list[tuple[Item, "asyncio.Future[Result]"]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        weight = 0
        while self._queue:
            item, future = self._queue[0]
            if future.done():
                # Its request timed out.
                self._queue.popleft()
                continue
            weight += self._weigh(item)
            if batch and weight > self._most:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _resolve(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        items = [item for item, _ in batch]
        work = self._pool.run(lambda: self._run(items))
        # An error of any kind belongs to the requests of this batch; `submit` raises it there.
        (outcome,) = await asyncio.gather(work, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            for (_, future), result in zip(batch, outcome, strict=True):
                if not future.done():
                    future.set_result(result)
        elif len(batch) > 1 and not isinstance(outcome, RefusedError):
            # One item must not fail its neighbours.
            for one in batch:
                await self._resolve([one])
        else:
            for _, future in batch:
                if not future.done():
                    future.set_exception(outcome)
