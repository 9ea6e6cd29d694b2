"""Spread chunks of work over processes of this machine, or over Dask or Ray through Prefect's task runners.

A worker that is killed loses nothing: its chunk is computed again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, islice
from typing import Literal, Protocol, TypeVar

from pipelines.processes.cluster import keeps_clusters, kept_clusters, submitting
from pipelines.processes.worker_pool import SharedPool

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Compute = Literal["processes", "dask", "ray"]
#: Submitted chunks per worker. Two keep every worker busy and few chunks in memory.
AHEAD = 2

_shared = SharedPool()


def chunked(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """Split `items` into parts of at most `size`, in order; each part is taken only when it is requested."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def map_chunks(
    function: Callable[[Chunk], Result],
    chunks: Iterable[Chunk],
    *,
    workers: int,
    compute: Compute = "processes",
) -> Iterator[Result]:
    """Apply `function` to each chunk and yield the results in the order of the chunks.

    Chunks are taken as workers become free, so that an iterator of any length keeps only a few in memory. Threads that
    call this at the same time share the workers. On this machine, the chunk of the same number always goes to the same
    worker, which may have kept something of it; Dask and Ray choose by themselves.

    Args:
        function: a function at the top level of a module, so that another process can import it. It may run twice for
            a chunk if a worker is killed, so it must change nothing.
        workers: 1 = run in this process, which is faster for small work and easier to debug.
        compute: where more than one worker runs.
    Raises:
        ConfigurationError: Dask or Ray is selected and not installed.
        WorkerLostError: a chunk killed its worker again and again.
    """
    rest = iter(chunks)
    first = list(islice(rest, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(function, chain(first, rest))
        return
    with _submitting(function, workers, compute) as submit:
        pending: deque[_Pending[Result]] = deque()
        try:
            for chunk in chain(first, rest):
                pending.append(submit(chunk))
                if len(pending) >= AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()


@contextmanager
def kept_workers() -> Iterator[None]:
    """Inside this block, workers stay for the next call, in any thread: to start them takes seconds of imports."""
    with _shared.used(), kept_clusters():
        yield


def keeps_workers() -> bool:
    """Whether a thread of this process is inside `kept_workers`."""
    return keeps_clusters()


class _Pending(Protocol[Result_co]):
    """A submitted chunk."""

    def result(self) -> Result_co: ...

    def cancel(self) -> None: ...


@contextmanager
def _submitting(
    function: Callable[[Chunk], Result], workers: int, compute: Compute
) -> Iterator[Callable[[Chunk], _Pending[Result]]]:
    """Yield the function that submits a chunk; workers that nobody uses after the block are stopped."""
    if compute != "processes":
        with submitting(function, workers, compute) as submit:
            yield submit
        return
    numbers = count()
    with _shared.used():
        yield lambda chunk: _shared.submit(next(numbers) % workers, function, chunk)
