"""One cluster of Dask or Ray for all threads of this process, with one Prefect server for its workers.

A process can have one Ray only: with a cluster for each thread, the thread that ends first would stop the Ray of the
others. Several Dask clusters would start more workers than the machine has cores. So the first thread that needs the
cluster starts it, and the last one stops it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from core.errors import ConfigurationError
from pipelines.processes.private_prefect import private_server

#: The folder that holds this project's packages.
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class _Cluster:
    """A started cluster, and how many threads use it now.

    Attributes:
        settings: of Prefect: its server, and the login.
    """

    runner: Any
    settings: Mapping[Any, str]
    stop: ExitStack
    users: int = 0


_started: dict[tuple[str, int], _Cluster] = {}
_lock = Lock()


@contextmanager
def shared_runner(compute: Literal["dask", "ray"], workers: int) -> Iterator[Any]:
    """Prefect's task runner of the cluster that this process shares; it is started if no other thread uses it.

    Raises:
        ConfigurationError: Dask or Ray is not installed.
    """
    from prefect.settings import temporary_settings

    with _lock:
        cluster = _started.get((compute, workers)) or _start(compute, workers)
        _started[compute, workers] = cluster
        cluster.users += 1
    try:
        # Each thread has its own settings of Prefect.
        with temporary_settings(cluster.settings):
            yield cluster.runner
    finally:
        with _lock:
            cluster.users -= 1
            if not cluster.users:
                del _started[compute, workers]
                cluster.stop.close()


def _start(compute: Literal["dask", "ray"], workers: int) -> _Cluster:
    from prefect.settings import temporary_settings

    runner = _runner(compute, workers)
    with ExitStack() as parts:
        settings = parts.enter_context(_one_prefect_server())
        with temporary_settings(settings):
            parts.enter_context(runner)
        return _Cluster(runner, settings, stop=parts.pop_all())


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


def _runner(compute: Literal["dask", "ray"], workers: int) -> Any:
    """Prefect's task runner on a local cluster. No dashboard is started, because it would open a port."""
    try:
        module: Any = import_module(f"prefect_{compute}")
    except ImportError as error:
        raise ConfigurationError(f"compute={compute} needs prefect-{compute}: {error}") from None
    # Workers must find this project's packages, whatever folder they start in.
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
