"""Loaded by every Python process of a test that asks for it: tells of each connection that leaves the machine."""

import ipaddress
import os
import socket
import sys
from pathlib import Path

_REPORT = os.environ.get("FOREWARN_TEST_CONNECTIONS")


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
        if host is None or _is_local(str(host)):
            return
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        if host is None or _is_local(host.decode() if isinstance(host, bytes) else str(host)):
            return
    else:
        return
    with Path(str(_REPORT)).open("a") as report:
        report.write(f"{event} {host} by {sys.argv[:3]}\n")
    raise OSError(f"the test lets no connection leave the machine: {host}")


def _is_local(host: str) -> bool:
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


if _REPORT:
    sys.addaudithook(_watch)
