"""Servers beside this process: started with a log file, awaited by URL, stopped as a group."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from core.errors import UnavailableError
from core.settings import Settings

#: What they have under way may finish for this long: the service's own 10 s, and some to close.
STOP_GRACE_S = 20.0
#: They need seconds to import, and several times that on a busy machine; Prefect makes its tables on the first start.
READY_TIMEOUT_S = 120.0
#: What the service answers with 200 once it works.
SERVICE_READY = "/readyz"


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server, which ends with the block that it is the context of.

    Attributes:
        log: the file that holds what it says.
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
            UnavailableError: it ended, or did not answer in time; names the log.
        """
        deadline = time.monotonic() + timeout_s
        with httpx.Client(timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise UnavailableError(
                        f"{self.name} ended by itself: {self._last_words()}; see {self.log}"
                    )
                try:
                    if client.get(self.url + path).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise UnavailableError(f"{self.name} did not answer within {timeout_s:.0f} s; see {self.log}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

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
    """Start a server in a process group of its own, its output in `log`.

    Args:
        env: its whole environment; ours without it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - commands of our own
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    return ServerProcess(name, url, log, process)


def launch_service(settings: Settings, *, env: Mapping[str, str] | None = None) -> ServerProcess:
    """The HTTP service, which answers `SERVICE_READY` once it works; it needs seconds for its imports.

    Args:
        env: an environment that makes `settings` there; ours must without it.
    """
    anywhere = settings.serve_host in ("0.0.0.0", "::")  # noqa: S104 - read, not bound
    host = "127.0.0.1" if anywhere else settings.serve_host
    return start_server(
        "the service",
        [sys.executable, "-m", "serving.run"],
        url=f"http://{host}:{settings.serve_port}",
        log=settings.data_dir / "logs" / "service.log",
        env=env,
    )


def start_service(settings: Settings, *, env: Mapping[str, str] | None = None) -> ServerProcess:
    """The HTTP service, ready to answer; arguments as of `launch_service`.

    Raises:
        UnavailableError: it did not become ready; names its log.
    """
    with ExitStack() as unless_ready:
        service = unless_ready.enter_context(launch_service(settings, env=env))
        service.wait_until_ready(SERVICE_READY)
        unless_ready.pop_all()
    return service


def free_port(preferred: int = 0) -> int:
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
