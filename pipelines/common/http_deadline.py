"""A bound for the time of a whole HTTP request. httpx itself bounds only each wait for data."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def deadline(seconds: float) -> Iterator[Any]:
    """Yield a trace for httpx that cuts each connection of the request once the time is over."""
    sockets: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            sockets.append(info["return_value"].get_extra_info("socket"))

    def cut() -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
