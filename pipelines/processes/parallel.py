"""Spread chunks of work over processes of this machine, or over Dask or Ray through Prefect's task runners.

Processes are spawned, never forked, because Prophet deadlocks in a fork.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from inspect import signature
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Literal, Protocol, TypeVar

from pipelines.processes.cluster import shared_runner
from pipelines.processes.end_with_parent import end_with
from pipelines.processes.threads import THREADS

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Compute = Literal["processes", "dask", "ray"]
#: Submitted chunks per worker. Two keep every worker busy and few chunks in memory.
AHEAD = 2
#: Each worker process uses one thread, because threads of several processes would compete for the cores.
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", *THREADS), "1")


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

    Chunks are taken as workers become free, so that an iterator of any length keeps only a few in memory.

    Args:
        function: a function at the top level of a module, so that another process can import it.
        workers: 1 = run in this process, which is faster for small work and easier to debug.
        compute: where more than one worker runs.
    Raises:
        ConfigurationError: Dask or Ray is selected and not installed.
    """
    rest = iter(chunks)
    first = list(islice(rest, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(function, chain(first, rest))
        return
    with _submitting(function, workers, compute) as submit:
        pending: deque[_Pending[Result]] = deque()
        for chunk in chain(first, rest):
            pending.append(submit(chunk))
            if len(pending) >= AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Pending(Protocol[Result_co]):
    """A submitted chunk: a future of any executor."""

    def result(self) -> Result_co: ...


@contextmanager
def _submitting(
    function: Callable[[Chunk], Result], workers: int, compute: Compute
) -> Iterator[Callable[[Chunk], _Pending[Result]]]:
    """Start the workers, yield the function that submits a chunk, and stop the workers at the end."""
    if compute == "processes":
        # A worker waits for work for ever, also when this process was killed; so it asks to be killed as well.
        executor = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
        )
        with _environment(ONE_THREAD), executor as pool:
            yield lambda chunk: pool.submit(function, chunk)
        return
    with shared_runner(compute, workers) as runner:
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        work: Any = task(name=getattr(function, "__name__", "chunk"), cache_policy=NO_CACHE)(function)
        parameter = next(iter(signature(function).parameters))
        yield lambda chunk: runner.submit(work, parameters={parameter: chunk})


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
