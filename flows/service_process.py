"""Starts the HTTP service as a child process."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack

from core.settings import Settings, is_every_address
from pipelines.processes.server_process import ServerProcess, start_server

#: Path that the HTTP service answers with 200 once it is ready.
SERVICE_READY = "/readyz"


def launch_service(settings: Settings, *, env: Mapping[str, str] | None = None) -> ServerProcess:
    """Start the HTTP service without waiting. It answers `SERVICE_READY` once it is ready, after some seconds.

    Args:
        env: the environment of the service; null: that of this process. `read_settings()` in it must equal `settings`.
    """
    host = "127.0.0.1" if is_every_address(settings.serve_host) else settings.serve_host
    return start_server(
        "the HTTP service",
        [sys.executable, "-m", "serving.run"],
        url=f"http://{host}:{settings.serve_port}",
        log=settings.data_dir / "logs" / "service.log",
        env=env,
        data_dir=settings.data_dir,
    )


def start_service(settings: Settings, *, env: Mapping[str, str] | None = None) -> ServerProcess:
    """Start the HTTP service and wait until it is ready; arguments as of `launch_service`.

    Raises:
        UnavailableError: the service did not become ready; the message names its log file.
    """
    with ExitStack() as unless_ready:
        service = unless_ready.enter_context(launch_service(settings, env=env))
        service.wait_until_ready(SERVICE_READY)
        unless_ready.pop_all()
    return service
