"""Starts a Prefect server, unless the user has named one in PREFECT_API_URL."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.settings import Settings
from flows.environment import prepare_prefect
from pipelines.processes.prefect_app import READY, protection
from pipelines.processes.server_process import ServerProcess, free_port, start_server

USER = "forewarn"


def password_file(settings: Settings) -> Path:
    """Where the password of the servers that Forewarn starts is kept; only its owner can read it."""
    return settings.data_dir.resolve() / "prefect" / "password"


def names_a_server() -> bool:
    """Whether the user has named a server in PREFECT_API_URL."""
    return bool(os.environ.get("PREFECT_API_URL"))


def start_prefect(settings: Settings, *, temporary: bool = False) -> ServerProcess:
    """Start a server on the loopback address and set PREFECT_API_URL to it. It takes seconds until it is ready.

    Call it before Prefect is imported: Prefect reads its settings then.

    Args:
        temporary: for one run of a flow: without pages and schedules.
    """
    port = free_port(0 if temporary else 4200)
    url = f"http://127.0.0.1:{port}"
    prepare_prefect(settings, api_url=f"{url}/api")
    login = f"{USER}:{_password(settings)}"
    os.environ["PREFECT_API_AUTH_STRING"] = login
    command = [sys.executable, "-m", "pipelines.processes.prefect_app", "--port", str(port)]
    return start_server(
        "Prefect",
        command + ["--temporary"] * temporary,
        url=url,
        log=settings.data_dir / "logs" / "prefect.log",
        env={**os.environ, **protection(login, [url, f"http://localhost:{port}"])},
        data_dir=settings.data_dir,
    )


@contextmanager
def prefect_server(settings: Settings) -> Iterator[str]:
    """Yield the address of the API: PREFECT_API_URL, or that of a server that runs as long as the block.

    Prefect can also start a temporary server by itself, but that one never starts scheduled runs.

    Raises:
        UnavailableError: the server did not become ready; the message names its log file.
    """
    api_url = os.environ.get("PREFECT_API_URL")
    if api_url:
        prepare_prefect(settings)
        yield api_url
        return
    with start_prefect(settings) as server:
        server.wait_until_ready(READY)
        yield f"{server.url}/api"


@contextmanager
def temporary_prefect_server(settings: Settings) -> Iterator[ServerProcess | None]:
    """Yield a server for one run of a flow that is still starting; null where PREFECT_API_URL names one.

    Prefect's own temporary server would answer every web page, and would stay when this process is killed.
    """
    if names_a_server():
        prepare_prefect(settings)
        yield None
        return
    # Nobody reads the logs of a server that ends with the run; sending them would fail when it has ended.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    with start_prefect(settings, temporary=True) as server:
        try:
            yield server
        finally:
            # A process that starts anew gets the variables of this one, and would look for a server that has ended.
            for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
                os.environ.pop(name, None)


def _password(settings: Settings) -> str:
    """The stored password; a new one at the first start."""
    path = password_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # It appears complete or not at all. Of two first starts at once, one wins.
        scratch = path.with_name(f"password.{os.getpid()}")
        scratch.unlink(missing_ok=True)
        try:
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - by handle
                file.write(secrets.token_urlsafe(18))
            with suppress(FileExistsError):
                path.hardlink_to(scratch)
        finally:
            scratch.unlink(missing_ok=True)
    return path.read_text().strip()
