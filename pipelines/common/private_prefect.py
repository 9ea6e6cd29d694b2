"""A Prefect server for one run, which needs a password and ends with this process, however it dies.

Prefect's own temporary server would answer every web page, and would stay when this process is killed.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import httpx

from core.errors import UnavailableError
from pipelines.common.end_with_parent import guarded
from pipelines.common.prefect_app import STOP_GRACE_S, protection

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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    url, login = f"http://127.0.0.1:{port}", f"forewarn:{secrets.token_urlsafe(18)}"
    command = [sys.executable, "-m", "pipelines.common.prefect_app", "--port", str(port), "--temporary"]
    with tempfile.TemporaryFile() as log:
        started: Queue[subprocess.Popen[bytes]] = Queue()

        def serve() -> None:
            process = subprocess.Popen(  # noqa: S603 - the command comes from this project
                guarded(command, os.getpid()),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **protection(login, [url])},
            )
            started.put(process)
            process.wait()

        # The kernel ends the server together with the thread that started it; so this thread waits for the server.
        Thread(target=serve, daemon=True).start()
        process = started.get()
        try:
            _wait_until_ready(process, url)
            yield url, login
        finally:
            process.terminate()
            try:
                process.wait(2 * STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    with httpx.Client(timeout=5, trust_env=False) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(f"{url}/api/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise UnavailableError("the Prefect server for the workers of the cluster did not become ready")
