"""Servers that the demo starts beside itself: started with a log file, awaited by URL, stopped as a group."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.errors import UnavailableError

STOP_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server and the file that it logs to."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_ready(self, path: str, timeout_s: float) -> None:
        """Block until GET `path` answers 200.

        Raises:
            UnavailableError: it ended, or did not answer in time; names the log.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise UnavailableError(f"{self.name} ended by itself; see {self.log}")
            try:
                if httpx.get(self.url + path, timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise UnavailableError(f"{self.name} did not answer within {timeout_s:.0f} s; see {self.log}")

    def stop(self) -> None:
        """Ask the whole group to end, then insist."""
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
    name: str, command: Sequence[str], *, url: str, log: Path, env: Mapping[str, str] | None = None
) -> ServerProcess:
    """Start a server in a process group of its own, its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - commands of our own
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    return ServerProcess(name, url, log, process)


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else one that the system gives."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free port on 127.0.0.1")
