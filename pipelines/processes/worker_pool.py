"""Worker processes of this machine, which all threads of this process share.

Each worker has a thread here that gives it one chunk at a time. So it is known which chunk a worker had when it was
killed: that chunk is computed again by a new worker, and no other.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, resource_tracker
from threading import Condition, Lock, Thread
from typing import Any

from core.errors import WorkerLostError
from pipelines.processes.threads import THREADS
from pipelines.processes.worker import message_of, value_of, work

_logger = logging.getLogger("forewarn.processes")

#: A chunk whose worker was killed is computed again so often, as by Dask and by Ray.
REPEATS = 3
#: A worker without work ends after this time: three watch cycles.
IDLE_S = 900.0
#: An idle worker may clean up for this long before it is killed.
_GRACE_S = 5.0
#: Each worker process uses one thread, because threads of several processes would compete for the cores.
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", *THREADS), "1")
#: Processes are spawned, never forked, because Prophet deadlocks in a fork.
_SPAWN = get_context("spawn")
_starting = Lock()


class _EndedError(Exception):
    """A worker ended without an answer; `code` is its exit code, negative for a signal."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class _Worker:
    """A worker process. Start it in a thread that lives as long: the kernel ends both together."""

    def __init__(self) -> None:
        self._line, theirs = _SPAWN.Pipe()
        # Daemons are ended by multiprocessing when this process ends.
        self._process = _SPAWN.Process(
            target=work, args=(theirs, os.getpid()), name="forewarn-worker", daemon=True
        )
        with _starting, _environment(ONE_THREAD):
            self._process.start()
        # Only the worker may hold the other end: when it dies, this end notices.
        theirs.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ask(self, message: bytes) -> bytes:
        """Send a message and wait for the answer.

        Raises:
            _EndedError: the worker ended before.
        """
        try:
            self._line.send_bytes(message)
            return self._line.recv_bytes()
        except (EOFError, OSError):
            self.end()
            raise _EndedError(self._process.exitcode) from None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Let the worker end, and kill it if it does not."""
        self._line.close()
        self._process.join(_GRACE_S)
        self._process.kill()
        self._process.join()


@dataclass(frozen=True, eq=False)
class _Job:
    """A chunk for a worker; `slot` is the only one that may have it, null: any."""

    message: bytes
    answer: Future[Any]
    slot: int | None


@dataclass(eq=False)
class Turns:
    """The chunks of one caller that wait for a worker."""

    waiting: deque[_Job] = field(default_factory=deque)


class WorkerPool:
    """Workers that take the chunks of several callers in turns, so that a large caller does not delay a small one."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._turns: deque[Turns] = deque()
        self._slots: list[_Slot] = []
        self.closed = False

    def grow(self, workers: int) -> None:
        """Have at least so many workers; each starts with its first chunk."""
        with self._changed:
            while len(self._slots) < workers:
                slot = _Slot(self, len(self._slots))
                self._slots.append(slot)
                slot.start()

    def submit(
        self, turns: Turns, function: Callable[[Any], object], chunk: object, *, slot: int | None = None
    ) -> Future[Any]:
        """Let a worker compute `function(chunk)` when it is this caller's turn.

        Args:
            slot: number of the worker, from 0; null: the first one that is free.
        """
        job = _Job(message_of(function, chunk), Future(), slot)
        with self._changed:
            if not turns.waiting:
                self._turns.append(turns)
            turns.waiting.append(job)
            self._changed.notify_all()
        return job.answer

    def forget(self, turns: Turns) -> None:
        """Drop the chunks of a caller that no worker has started."""
        with self._changed:
            if turns.waiting:
                self._turns.remove(turns)
                turns.waiting.clear()

    def take(self, slot: int) -> _Job | None:
        """The next job of a worker; null: there was none for `IDLE_S`, or the pool is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._next(slot) is not None, IDLE_S)
            found = self._next(slot)
            if self.closed or found is None:
                return None
            turns, job = found
            turns.waiting.remove(job)
            # Its next turn comes after those of all others.
            self._turns.remove(turns)
            if turns.waiting:
                self._turns.append(turns)
            return job

    def _next(self, slot: int) -> tuple[Turns, _Job] | None:
        jobs = ((turns, job) for turns in self._turns for job in turns.waiting if job.slot in (None, slot))
        return next(jobs, None)

    def pids(self) -> list[int]:
        """The processes of the workers that run now."""
        with self._changed:
            slots = list(self._slots)
        return [pid for slot in slots if (pid := slot.pid) is not None]

    def close(self) -> None:
        """End all workers, also those that compute something: nobody waits for it any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        for slot in self._slots:
            slot.interrupt()
        for slot in self._slots:
            slot.join()


class _Slot:
    """The thread of one worker, which it starts, and starts again after its death."""

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool, self._number = pool, number
        self._thread = Thread(target=self._run, name="forewarn-worker", daemon=True)
        self._lock = Lock()
        self._worker: _Worker | None = None
        self._busy = False

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        _ignore_interrupts()
        while not self._pool.closed:
            job = self._pool.take(self._number)
            if job is None:
                self._drop()
            elif job.answer.set_running_or_notify_cancel():
                self._compute(job)
        self._drop()

    @property
    def pid(self) -> int | None:
        worker = self._worker
        return None if worker is None else worker.pid

    def interrupt(self) -> None:
        """Kill the worker if it computes something."""
        with self._lock:
            if self._busy and self._worker is not None:
                self._worker.kill()

    def _compute(self, job: _Job) -> None:
        try:
            job.answer.set_result(value_of(self._answer(job.message)))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the result
            job.answer.set_exception(error)

    def _answer(self, message: bytes) -> bytes:
        """What a worker answers; one that is killed is replaced, and asked again.

        Raises:
            WorkerLostError: each worker that was asked was killed.
        """
        code: int | None = None
        for _ in range(1 + REPEATS):
            worker = self._running()
            try:
                return worker.ask(message)
            except _EndedError as ended:
                code = ended.code
                if not self._pool.closed:
                    _logger.warning(
                        "worker process %s %s; its chunk is computed again", worker.pid, _end(code)
                    )
            finally:
                with self._lock:
                    self._busy = False
            self._worker = None
        raise WorkerLostError(lost(code))

    def _running(self) -> _Worker:
        with self._lock:
            if self._pool.closed:
                raise WorkerLostError("the worker processes were stopped")
            self._worker = self._worker or _Worker()
            self._busy = True
            return self._worker

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()


def lost(code: int | None = -signal.SIGKILL) -> str:
    """The sentence about workers that all ended with this code when they computed the same part of the work."""
    remedy = (
        "usually the machine has too little memory: lower FOREWARN_WORKERS or add memory"
        if code == -signal.SIGKILL
        else "what they printed names the reason"
    )
    return f"each of {1 + REPEATS} worker processes {_end(code)} at the same part of the work; {remedy}"


def _end(code: int | None) -> str:
    """How a process ended, as the end of a sentence."""
    if code is not None and code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def _ignore_interrupts() -> None:
    """Let the processes that this thread starts ignore Ctrl-C, which a terminal sends to them, too.

    The process that started them decides whether what they compute is still wanted.
    """
    if hasattr(signal, "pthread_sigmask"):
        # Before the signal is blocked: it unblocks it when it starts.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


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


class SharedPool:
    """The pool of this process; it is closed when nobody uses it any more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._pool: WorkerPool | None = None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep the workers that exist inside the block."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                unused = self._pool if not self._users else None
                if unused is not None:
                    self._pool = None
            if unused is not None:
                unused.close()

    def pool(self, workers: int) -> WorkerPool:
        """The pool, with at least so many workers; call it inside `used`."""
        with self._lock:
            self._pool = self._pool or WorkerPool()
            self._pool.grow(workers)
            return self._pool

    def pids(self) -> list[int]:
        """The processes of the workers that run now."""
        with self._lock:
            pool = self._pool
        return [] if pool is None else pool.pids()

    def close(self) -> None:
        """End all workers, whoever uses them."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
