"""A Prefect server for one run, which needs a password and ends with this process, however it dies.

Prefect's own temporary server would answer every web page, and would stay when this process is killed.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread

from pipelines.processes.prefect_app import READY, protection
from pipelines.processes.server_process import ServerProcess, free_port, start_server

#: On its first start Prefect creates its tables. On a busy machine this takes minutes.
READY_TIMEOUT_S = 180.0
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def private_server() -> Iterator[tuple[str, str]]:
    """Start a server, wait until it is ready, and stop it at the end of the block.

    Returns:
        Its URL, and the login (`user:password`).
    Raises:
        UnavailableError: it did not become ready.
    """
    port, login = free_port(), f"forewarn:{secrets.token_urlsafe(18)}"
    with TemporaryDirectory(prefix="forewarn-") as folder, _kept(port, login, Path(folder)) as server:
        server.wait_until_ready(READY, READY_TIMEOUT_S)
        yield server.url, login


def _kept(port: int, login: str, folder: Path) -> ServerProcess:
    """A started server. The kernel ends it together with the thread that started it, so a thread waits for it."""
    url = f"http://127.0.0.1:{port}"
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    started: Queue[ServerProcess] = Queue()

    def serve() -> None:
        server = start_server(
            "the Prefect server for the workers of the cluster",
            [sys.executable, "-m", "pipelines.processes.prefect_app", "--port", str(port), "--temporary"],
            url=url,
            log=folder / "log",
            env={**os.environ, **protection(login, [url]), "PYTHONPATH": path},
        )
        started.put(server)
        server.process.wait()

    Thread(target=serve, daemon=True).start()
    return started.get()
