"""One cluster of Dask or Ray for all threads of this process, with one Prefect server for its workers.

A process can have one Ray only: with a cluster for each thread, the thread that ends first would stop the Ray of the
others. Several Dask clusters would start more workers than the machine has cores. So the first thread that needs the
cluster starts it, and the last one stops it, unless the process keeps its clusters.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from core.errors import ConfigurationError, ForewarnError, WorkerLostError
from pipelines.processes.private_prefect import private_server
from pipelines.processes.worker import answer_to, message_of, value_of
from pipelines.processes.worker_pool import LOST

#: The folder that holds this project's packages.
ROOT = Path(__file__).resolve().parents[2]
#: The variables by which Dask and Ray name a cluster that runs already.
ADDRESSES = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}

Kind = Literal["dask", "ray"]


class _Cluster:
    """A started cluster, and how many threads use it now.

    A thread of its own starts it and waits: Ray's processes end with the thread that started them.

    Attributes:
        settings: of Prefect: its server, and the login.
    """

    def __init__(self, kind: Kind, workers: int) -> None:
        self.users = 0
        self._kind, self._workers = kind, workers
        self._unused = Event()
        started: Future[tuple[Any, Mapping[Any, str]]] = Future()
        # With a copy of the caller's settings of Prefect, which belong to a thread.
        self._thread = Thread(target=copy_context().run, args=(self._live, started), daemon=True)
        self._thread.start()
        self.runner, self.settings = started.result()

    def _live(self, started: Future[tuple[Any, Mapping[Any, str]]]) -> None:
        from prefect.settings import temporary_settings

        try:
            runner = _runner(self._kind, self._workers)
            with _one_prefect_server() as settings, temporary_settings(settings), runner:
                if self._kind == "dask":
                    _ = (
                        runner.client
                    )  # starts the cluster here; else the first chunk would do it, in its thread
                started.set_result((runner, settings))
                self._unused.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def stop(self) -> None:
        self._unused.set()
        self._thread.join()


_started: dict[tuple[Kind, int], _Cluster] = {}
_keepers = 0
_lock = Lock()


@contextmanager
def kept_clusters() -> Iterator[None]:
    """Inside this block, clusters that start stay for the next use."""
    global _keepers
    with _lock:
        _keepers += 1
    try:
        yield
    finally:
        with _lock:
            _keepers -= 1
            _stop_unused()


def keeps_clusters() -> bool:
    """Whether a thread of this process is inside `kept_clusters`."""
    return _keepers > 0


@contextmanager
def shared_runner(kind: Kind, workers: int) -> Iterator[Any]:
    """Prefect's task runner of the cluster that this process shares; it is started if there is none.

    Raises:
        ConfigurationError: Dask or Ray is not installed.
    """
    from prefect.settings import temporary_settings

    key = (kind, workers)
    with _lock:
        cluster = _started.get(key) or _Cluster(kind, workers)
        _started[key] = cluster
        cluster.users += 1
    try:
        # Each thread has its own settings of Prefect.
        with temporary_settings(cluster.settings):
            yield cluster.runner
    except ForewarnError:
        raise
    except Exception:
        # The cluster itself may have failed: the next use starts another one.
        with _lock:
            if _started.get(key) is cluster:
                del _started[key]
        raise
    finally:
        with _lock:
            cluster.users -= 1
            if not cluster.users and _started.get(key) is not cluster:
                cluster.stop()
            _stop_unused()


def _stop_unused() -> None:
    if _keepers:
        return
    for key, cluster in list(_started.items()):
        if not cluster.users:
            del _started[key]
            cluster.stop()


@contextmanager
def submitting(
    function: Callable[[Any], Any], workers: int, kind: Kind
) -> Iterator[Callable[[Any], "_OnCluster"]]:
    """Yield the function that submits a chunk to the cluster.

    Raises:
        ConfigurationError: Dask or Ray is not installed.
    """
    with shared_runner(kind, workers) as runner:
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        work: Any = task(name=getattr(function, "__name__", "chunk"), cache_policy=NO_CACHE)(answer_to)
        # As bytes, because Prefect would search each object of a chunk for futures.
        yield lambda chunk: _OnCluster(
            runner.submit(work, parameters={"message": message_of(function, chunk)}), kind
        )


class _OnCluster:
    """A chunk on a cluster, which repeats it where its worker was killed: both Dask and Ray do so three times."""

    def __init__(self, future: Any, kind: Kind) -> None:
        self._future, self._kind = future, kind

    def result(self) -> Any:
        """The result of the chunk; raises the error of its function.

        Raises:
            WorkerLostError: each worker that had the chunk was killed.
        """
        try:
            answer = self._future.result()
        except _losses(self._kind) as error:
            raise WorkerLostError(LOST) from error
        return value_of(answer)

    def cancel(self) -> None:
        """Prefect's futures cannot be cancelled: the cluster computes what it has."""


def _losses(kind: Kind) -> tuple[type[Exception], ...]:
    """The errors with which a cluster gives up a chunk whose workers were killed."""
    if kind == "dask":
        from distributed.scheduler import KilledWorker

        return (KilledWorker,)
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError

    return WorkerCrashedError, OutOfMemoryError


@contextmanager
def _one_prefect_server() -> Iterator[Mapping[Any, str]]:
    """The settings of a Prefect server for all workers. Without PREFECT_API_URL, each worker would start its own.

    Each such server needs 200 MB and many seconds to start; on a busy machine some never became ready.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    if given := PREFECT_API_URL.value():
        yield {PREFECT_API_URL: given}
    elif (of_flow := SubprocessASGIServer()).running:
        yield {PREFECT_API_URL: of_flow.api_url}
    else:
        with private_server() as (url, login):
            yield {PREFECT_API_URL: f"{url}/api", PREFECT_API_AUTH_STRING: login}


def _runner(kind: Kind, workers: int) -> Any:
    """Prefect's task runner on a local cluster, or on the one that the variable of Dask or Ray names.

    No dashboard is started, because it would open a port.
    """
    try:
        module: Any = import_module(f"prefect_{kind}")
    except ImportError as error:
        raise ConfigurationError(f"compute={kind} needs prefect-{kind}: {error}") from None
    # Workers must find this project's packages, whatever folder they start in.
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    path = path.rstrip(os.pathsep)
    address = os.environ.get(ADDRESSES[kind])
    if kind == "dask":
        if address:
            return module.DaskTaskRunner(address=address)
        os.environ["PYTHONPATH"] = path
        return module.DaskTaskRunner(
            cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        )
    common = {"log_to_driver": False, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
    if address:
        return module.RayTaskRunner(address=address, init_kwargs=common)
    return module.RayTaskRunner(
        init_kwargs={
            "num_cpus": workers,
            "_node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            **common,
        }
    )
