"""A real Prefect server, and processes beside it."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from pipelines.processes.server_process import ServerProcess, free_port, start_server


@contextmanager
def prefect_server(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of its API, and the environment of processes that use it."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "DO_NOT_TRACK": "1",
    }
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, environment, folder) as server:
        server.wait_until_ready("/health")
        yield api, environment


def running(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> ServerProcess:
    """A Python process with these arguments, its output in `folder/log`, that ends with the block."""
    name, url = " ".join(arguments), environment["PREFECT_API_URL"]
    return start_server(name, [sys.executable, *arguments], url=url, log=folder / "log", env=environment)


def wait_until(happened: Callable[[], bool], seconds: float) -> None:
    """Ask again and again; a server that is not there yet has not happened."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if happened():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"it did not happen within {seconds:.0f} s")
