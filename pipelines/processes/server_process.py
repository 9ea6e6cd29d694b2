"""Starts servers as child processes: output to a log file, wait for a URL, stop the whole process group."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from core.errors import UnavailableError
from pipelines.processes.end_with_parent import guarded
from pipelines.processes.strays import mark

#: Requests in progress may finish for this long: 10 s in the HTTP service, and some time to close.
STOP_GRACE_S = 20.0
#: Imports take seconds, on a busy machine several times that; on its first start Prefect also creates its tables.
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server. As a context manager, it stops the server at the end of the block.

    Attributes:
        log: the file with its standard output and standard error.
    """

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_until_ready(self, path: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Block until GET `path` answers 200.

        Raises:
            UnavailableError: the server ended, or did not answer in time; the message names its log file.
        """
        deadline = time.monotonic() + timeout_s
        with httpx.Client(timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise UnavailableError(
                        f"{self.name} stopped unexpectedly: {self._last_line()}; see {self.log}"
                    )
                try:
                    if client.get(self.url + path).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise UnavailableError(f"{self.name} did not answer within {timeout_s:.0f} s; see {self.log}")

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def stop(self) -> None:
        """Ask the process group to end; kill it if it does not end in time."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(STOP_GRACE_S)
                break
            except subprocess.TimeoutExpired:
                continue


def start_server(
    name: str,
    command: Sequence[str],
    *,
    url: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    data_dir: Path | None = None,
) -> ServerProcess:
    """Start a server in its own process group, with its output in `log`. It ends with this process.

    Args:
        env: the whole environment of the server; null: the environment of this process.
        data_dir: `forewarn status` with this data folder finds the server if it is left behind.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ if env is None else env)
    if data_dir is not None:
        environment |= mark(name, data_dir)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command comes from this project
            guarded(command, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return ServerProcess(name, url, log, process)


def free_port(preferred: int = 0) -> int:
    """`preferred` if it is free, else a free port that the operating system chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free port on 127.0.0.1")
