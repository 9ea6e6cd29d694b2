"""Starts the service: in this process until it is told to stop, or beside it, with a handle to stop it.

One process serves with BentoML's own application on uvicorn, exactly what a worker of `bentoml serve` runs,
but without the supervisor, which starts a worker that cannot start over and over and never says why. For more
processes: `bentoml serve serving.service:Forewarn`, or more containers behind one address.
"""

import json
import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Self

import httpx
from pydantic import SecretStr

from core.errors import ForewarnError, UnavailableError
from core.settings import Settings
from pipelines.privacy import silence_telemetry

#: BentoML needs seconds to import, MLflow too; on a busy machine several times that.
START_TIMEOUT_S = 120.0
#: Requests under way may finish for this long.
GRACE_S = 10

_logger = logging.getLogger("forewarn.serving")


@dataclass
class ServiceHandle:
    """A service that runs in a process of its own.

    Attributes:
        url: where it answers. log: the file that holds what it says.
    """

    url: str
    log: Path
    _process: subprocess.Popen[bytes]
    _log_file: IO[bytes]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it ends.

        Raises:
            UnavailableError: it ended by itself, and not because it was told to.
        """
        code = self._process.wait()
        if code > 0:
            raise UnavailableError(f"the service ended with code {code}; see {self.log}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the requests under way finish, then end it; calling it twice is fine."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(GRACE_S + 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log_file.close()


def serve(settings: Settings, *, timeout_s: float = START_TIMEOUT_S) -> ServiceHandle:
    """Start the service in a process of its own and wait until it is ready.

    Raises:
        UnavailableError: it ended instead, or was not ready in time; the text holds its last words.
    """
    _require_free_port(settings)
    folder = settings.data_dir.resolve() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "service.log"
    log_file = log.open("ab")
    started_at = log_file.tell()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.run"],
        cwd=Path(__file__).parent.parent,
        env=environment_of(settings),
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=subprocess.STDOUT,
    )
    handle = ServiceHandle(
        f"http://{_reachable(settings.serve_host)}:{settings.serve_port}", log, process, log_file
    )
    try:
        _wait_until_ready(handle, monotonic() + timeout_s)
    except BaseException as error:
        handle.stop()
        if isinstance(error, UnavailableError):
            raise UnavailableError(f"{error}: {_last_words(log, started_at)}") from None
        raise
    return handle


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment for a child process that makes `Settings()` there equal to `settings` here."""
    silence_telemetry()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")}
    for name, value in settings:
        if value is None:
            continue
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
        elif isinstance(value, Path):
            text = str(value.resolve())
        elif isinstance(value, tuple | list | dict):
            # As pydantic-settings reads what is not a scalar.
            text = json.dumps(value)
        else:
            text = str(value)
        environment[f"FOREWARN_{name.upper()}"] = text
    return environment


def run(settings: Settings) -> None:
    """Serve in this process until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a setting is missing or contradicts another.
        UnavailableError: the database does not answer, or the port is taken.
    """
    silence_telemetry()
    import uvicorn

    from serving.service import application, runtime

    _configure_logging()
    _require_free_port(settings)
    # Before the server: what cannot be opened ends the process here, with one sentence.
    runtime.open(settings)
    try:
        config = uvicorn.Config(
            application(),
            host=settings.serve_host,
            port=settings.serve_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            # No listener may be slower to hang up than the load balancer in front of it (60 s on most).
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        _logger.info("serving on %s", settings.service_url)
        try:
            server.run()
        except SystemExit:
            # uvicorn exits by itself when it cannot bind or the application does not start.
            raise UnavailableError("the service could not start; its log says why") from None
    finally:
        runtime.close()


def main() -> None:
    """The child process of `serve`."""
    try:
        run(Settings())
    except ForewarnError as error:
        print(f"the service cannot start: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - the process's last words
        sys.exit(1)


def _require_free_port(settings: Settings) -> None:
    """Another service on our port would answer in our place, and look as if we had started."""
    address = (settings.serve_host, settings.serve_port)
    family = socket.AF_INET6 if ":" in settings.serve_host else socket.AF_INET
    with socket.socket(family) as probe:
        # As uvicorn does: a port that a service left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {settings.serve_host}:{settings.serve_port}; is the port taken?"
            ) from error


def _configure_logging() -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout
    )
    logging.getLogger("forewarn").setLevel(logging.INFO)


def _wait_until_ready(handle: ServiceHandle, deadline: float) -> None:
    with httpx.Client(timeout=5.0, trust_env=False) as client:
        while monotonic() < deadline:
            if not handle.running:
                raise UnavailableError("the service ended while starting")
            try:
                if client.get(f"{handle.url}/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            sleep(0.1)
    raise UnavailableError("the service was not ready in time")


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _reachable(host: str) -> str:
    """Where to reach a server that listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - read, not bound


if __name__ == "__main__":
    main()
