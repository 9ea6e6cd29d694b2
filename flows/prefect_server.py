"""A Prefect server of our own, where nobody named one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.settings import Settings
from flows.environment import prepare_prefect
from flows.processes import ServerProcess, free_port, start_server

#: What answers 200 once it works.
READY = "/api/health"


def start_prefect(settings: Settings) -> ServerProcess:
    """Start one on this machine's loopback address and point Prefect at it; it needs seconds until it is ready.

    To be called before Prefect is imported, which reads its settings then.
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
    """The address of the API of `PREFECT_API_URL`, or of a server that lasts as long as the block.

    The server that Prefect starts by itself would not do: it runs flows, and never begins one that is due.

    Raises:
        UnavailableError: it did not become ready; names its log.
    """
    api_url = os.environ.get("PREFECT_API_URL")
    if api_url:
        prepare_prefect(settings)
        yield api_url
        return
    with start_prefect(settings) as server:
        server.wait_until_ready(READY)
        yield f"{server.url}/api"
