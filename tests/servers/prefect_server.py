"""A real Prefect server, and processes beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from flows.processes import free_port

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def prefect_server(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of its API, and the environment of processes that use it."""
    port = free_port(0)
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, environment, folder):
        wait_until(lambda: httpx.get(f"{api}/health").status_code == httpx.codes.OK, 120)
        yield api, environment


@contextmanager
def running(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """A Python process with these arguments, its output in `folder/log`, ended with the block."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(environment),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
