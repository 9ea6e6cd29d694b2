"""Runs the watch cycles of tenants in one process that stays: models and connections stay open between cycles.

Each tenant has a thread, so that the cycle of a large tenant does not delay that of a small one.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event
from typing import Protocol

from flows.watch_loop import WatchLoop
from pipelines.processes.memory import memory_bytes


class MakeLoop(Protocol):
    def __call__(self, *, sleep: Callable[[float], object], ends: Callable[[], bool]) -> WatchLoop: ...


class CycleWorker:
    """Runs the loops of tenants until it is told to stop, or until it needs too much memory.

    Args:
        make_loops: each makes the loop of a tenant, given how it waits and what tells it to end.
        limit_bytes: with more than this, it ends before the next cycle, so that a new process can go on.
        memory: what this process needs.
    """

    def __init__(
        self,
        make_loops: Sequence[MakeLoop],
        *,
        limit_bytes: int,
        memory: Callable[[], int] = memory_bytes,
    ) -> None:
        self._stop = Event()
        self._is_told = False
        self._limit_bytes = limit_bytes
        self._memory = memory
        self._loops = [make(sleep=self._stop.wait, ends=self._ends) for make in make_loops]

    def run(self, cycles: int | None = None) -> bool:
        """Run all loops; returns whether they ended because the process needs too much memory, and should be replaced.

        Args:
            cycles: how many cycles of each tenant; null: without end.
        """
        with ThreadPoolExecutor(len(self._loops)) as threads:
            running = [threads.submit(loop.run, cycles) for loop in self._loops]
            try:
                waiting = set(running)
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for one in done:
                        one.result()
            finally:
                self._stop.set()  # an error of one loop ends all of them after their cycle
        return self._is_too_large() and not self._is_told

    def stop(self) -> None:
        """Let all loops end after their running cycle."""
        self._is_told = True
        self._stop.set()

    def _ends(self) -> bool:
        if self._is_too_large():
            self._stop.set()
        return self._stop.is_set()

    def _is_too_large(self) -> bool:
        return self._memory() > self._limit_bytes
