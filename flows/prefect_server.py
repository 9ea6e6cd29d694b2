"""Starts a Prefect server, unless the user has named one in PREFECT_API_URL."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.settings import Settings
from flows.environment import prepare_prefect
from flows.processes import ServerProcess, free_port, start_server

#: Path that answers 200 once the server is ready.
READY = "/api/health"


def start_prefect(settings: Settings) -> ServerProcess:
    """Start a server on the loopback address and set PREFECT_API_URL to it. It takes seconds until it is ready.

    Call it before Prefect is imported: Prefect reads its settings then.
    """
    port = free_port(4200)
    url = f"http://127.0.0.1:{port}"
    prepare_prefect(settings, api_url=f"{url}/api")
    return start_server(
        "Prefect",
        [
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        url=url,
        log=settings.data_dir / "logs" / "prefect.log",
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
