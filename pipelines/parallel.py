"""Chunks of work over processes here, or over Dask or Ray by Prefect's own task runners: one setting.

Processes are spawned, never forked, because Prophet deadlocks in a fork.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

from core.errors import ConfigurationError

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Compute = Literal["processes", "dask", "ray"]


def chunked(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """`items` in order, in parts of at most `size`."""
    return [items[first : first + size] for first in range(0, len(items), size)]


def map_chunks(
    function: Callable[[Chunk], Result],
    chunks: Sequence[Chunk],
    *,
    workers: int,
    compute: Compute = "processes",
) -> Iterator[Result]:
    """`function` of each chunk, in order, each as soon as it and those before it are there.

    Args:
        function: a module's own function, so that another process can import it.
        workers: 1 = in this process, which small work and debuggers like better.
        compute: where more than one worker runs.
    Raises:
        ConfigurationError: Dask or Ray was asked for and is not installed.
    """
    if workers <= 1 or len(chunks) <= 1:
        yield from map(function, chunks)
    elif compute == "processes":
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn")) as pool:
            yield from pool.map(function, chunks)
    else:
        yield from _by_prefect(function, chunks, _runner(compute, workers))


def _runner(compute: Compute, workers: int) -> Any:
    """Prefect's runner on a cluster that lasts as long as the work."""
    try:
        module: Any = import_module(f"prefect_{compute}")
    except ImportError as error:
        raise ConfigurationError(f"compute={compute} needs prefect-{compute}: {error}") from None
    if compute == "dask":
        return module.DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1})
    return module.RayTaskRunner(init_kwargs={"num_cpus": workers})


def _by_prefect(
    function: Callable[[Chunk], Result], chunks: Sequence[Chunk], runner: Any
) -> Iterator[Result]:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    work = task(name=getattr(function, "__name__", "chunk"), cache_policy=NO_CACHE)(function)

    @flow(name="spread chunks", task_runner=runner, validate_parameters=False)
    def spread() -> list[Result]:
        futures = [work.submit(chunk) for chunk in chunks]
        return [future.result() for future in futures]

    yield from spread()
