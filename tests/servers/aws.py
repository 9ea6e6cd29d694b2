"""A server of moto that stands in for AWS."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def aws_server() -> Iterator[str]:
    """The URL of a running server."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.stop()


def empty_aws(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all that the server has, and let this test log in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    httpx.post(f"{url}/moto-api/reset")
