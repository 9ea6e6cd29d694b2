"""Chunks of work over processes here, or over Dask or Ray by Prefect's own task runners: one setting.

Processes are spawned, never forked, because Prophet deadlocks in a fork.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from core.errors import ConfigurationError

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Compute = Literal["processes", "dask", "ray"]
ROOT = Path(__file__).resolve().parents[2]
#: Chunks a worker that are submitted and not yet taken: none waits for work, and few are in memory.
AHEAD = 2
#: Each numerical library's own name for the number of threads in a process.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: The work is spread over processes; threads below them would wait for one another.
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", *THREADS), "1")


def chunked(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in order, in parts of at most `size`, each taken when it is asked for."""
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
    """`function` of each chunk, in order, each as soon as it and those before it are there.

    Chunks are taken as workers become free, so that an iterator of any length keeps only a few in memory.

    Args:
        function: a module's own function, so that another process can import it.
        workers: 1 = in this process, which small work and debuggers like better.
        compute: where more than one worker runs.
    Raises:
        ConfigurationError: Dask or Ray was asked for and is not installed.
    """
    rest = iter(chunks)
    first = list(islice(rest, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(function, chain(first, rest))
        return
    with _submitting(function, workers, compute) as submit:
        waiting: deque[_Waits[Result]] = deque()
        for chunk in chain(first, rest):
            waiting.append(submit(chunk))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Waits(Protocol[Result_co]):
    def result(self) -> Result_co: ...


@contextmanager
def _submitting(
    function: Callable[[Chunk], Result], workers: int, compute: Compute
) -> Iterator[Callable[[Chunk], _Waits[Result]]]:
    """Workers that last as long as the work."""
    if compute == "processes":
        with _environment(ONE_THREAD), ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield lambda chunk: pool.submit(function, chunk)
        return
    runner = _runner(compute, workers)
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    work: Any = task(name=getattr(function, "__name__", "chunk"), cache_policy=NO_CACHE)(function)
    parameter = next(iter(signature(function).parameters))
    with runner:
        yield lambda chunk: runner.submit(work, parameters={parameter: chunk})


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    """What processes that are started meanwhile find in their environment; a user's own values win."""
    added = [name for name in told if name not in os.environ]
    os.environ.update({name: told[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _runner(compute: Compute, workers: int) -> Any:
    """Prefect's runner on a cluster of this machine; neither starts a dashboard, which would open a port."""
    try:
        module: Any = import_module(f"prefect_{compute}")
    except ImportError as error:
        raise ConfigurationError(f"compute={compute} needs prefect-{compute}: {error}") from None
    # Workers import this project by name, whatever folder they are started in.
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    path = path.rstrip(os.pathsep)
    if compute == "dask":
        os.environ["PYTHONPATH"] = path
        return module.DaskTaskRunner(
            cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        )
    return module.RayTaskRunner(
        init_kwargs={
            "num_cpus": workers,
            "_node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "log_to_driver": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": path}},
        }
    )
