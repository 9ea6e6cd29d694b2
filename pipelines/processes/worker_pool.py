"""Worker processes of this machine, which all threads of this process share.

Processes are spawned, never forked, because Prophet deadlocks in a fork. Each worker is an executor of its own: when a
worker of a common one is killed, all work of all workers fails, and nobody knows which of it did it.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Lock
from typing import Any

from core.errors import WorkerLostError
from pipelines.processes.end_with_parent import end_with
from pipelines.processes.threads import THREADS
from pipelines.processes.worker import answer_to, message_of, value_of

_logger = logging.getLogger("forewarn.processes")

#: A chunk whose workers were killed is computed again so often, as by Dask and by Ray.
REPEATS = 3
#: Each worker process uses one thread, because threads of several processes would compete for the cores.
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", *THREADS), "1")
LOST = (
    f"each of {1 + REPEATS} worker processes was killed at the same part of the work; usually the machine has too"
    " little memory: lower FOREWARN_WORKERS or add memory"
)


class SharedPool:
    """The workers of this process. They stay as long as any thread is in a block of `used`.

    Each place has one worker. So a killed worker costs only what it had to do, and work that comes to the same place
    again finds there what its worker has kept of it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._workers: dict[int, ProcessPoolExecutor] = {}
        # Workers end with the thread that started them, and those of callers come and go.
        self._starter = ThreadPoolExecutor(1, "workers")

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep the workers that start inside the block until it ends."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            unused: list[ProcessPoolExecutor] = []
            with self._lock:
                self._users -= 1
                if not self._users:
                    unused += self._workers.values()
                    self._workers.clear()
            for worker in unused:
                worker.shutdown(cancel_futures=True)

    def submit(self, place: int, function: Callable[[Any], Any], chunk: object) -> "PoolChunk":
        """Let the worker of a place compute `function(chunk)`, after what it has to do already."""
        message = message_of(function, chunk)
        return PoolChunk(lambda: self._starter.submit(self._start, place, message).result())

    def _start(self, place: int, message: bytes) -> Future[bytes]:
        with self._lock:
            worker = self._workers.get(place) or _new_worker()
            self._workers[place] = worker
        try:
            # The process starts with its first work, in the environment of that moment.
            with _environment(ONE_THREAD):
                return worker.submit(answer_to, message)
        except BrokenProcessPool:
            _logger.warning("a worker process was killed; what it had to do is computed again")
            with self._lock:
                del self._workers[place]
            return self._start(place, message)


class PoolChunk:
    """A chunk that a worker computes, again where it is killed.

    Args:
        start: gives the chunk to a worker.
    """

    def __init__(self, start: Callable[[], Future[bytes]]) -> None:
        self._start = start
        self._answer = start()

    def result(self) -> Any:
        """The result of the chunk; raises the error of its function.

        Raises:
            WorkerLostError: each worker that had the chunk was killed.
        """
        for _ in range(REPEATS):
            try:
                return value_of(self._answer.result())
            except BrokenProcessPool:
                self._answer = self._start()
        try:
            return value_of(self._answer.result())
        except BrokenProcessPool as error:
            raise WorkerLostError(LOST) from error

    def cancel(self) -> None:
        """Do not begin it any more."""
        self._answer.cancel()


def worker_pids() -> list[int]:
    """The worker processes of this process that run now; those of Dask and Ray are not among them."""
    return [one.pid for one in multiprocessing.active_children() if one.pid is not None]


def _new_worker() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )


def _begin(parent: int) -> None:
    """The first that a worker does."""
    # It waits for work for ever, also when the process that started it was killed; so it asks to be killed as well.
    end_with(parent)
    # A terminal sends Ctrl-C to all processes; that process decides whether the work is still wanted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that start inside the block; variables that the user has set stay."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
