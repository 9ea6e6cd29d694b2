"""Load for the service, in processes of its own: pushed samples, clients on `/detect`, and a probe of `/livez`.

The clients are cheap (raw sockets, requests prepared in advance), because they share the machine with the service.
"""

import json
import math
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from fakes.remote_write import compressed, label, varint
from fakes.remote_write import field as message

SERIES = 5_000
#: Series of one shard of the sender; each shard keeps the order of its samples, as Prometheus does.
SHARDS = 2
SAMPLES_A_REQUEST = 2_000
STEP_S = 15
#: What a counter grows by in a step.
GROWTH = 30.0
DETECT_CLIENTS = 16
PROBE_EVERY_S = 0.1


@dataclass
class Tally:
    """What one client saw.

    Attributes:
        statuses: how often each status came.
        wrong: responses that no client should get.
        seconds: of each response.
        samples: acknowledged samples, of a shard that sends them in order.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: int = 0
    lasted_s: float = 0.0


@dataclass(frozen=True)
class Address:
    """The port of the service on this machine, and the key of the tenant."""

    port: int
    key: str


class Client:
    """One keep-alive connection."""

    def __init__(self, address: Address, timeout_s: float = 60.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the response."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._address.port), self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        lines = received[:end].split(b"\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines[1:])
        }
        missing = int(headers.get(b"content-length", b"0")) - (len(received) - end - 4)
        while missing > 0:
            more = self._more()
            received += more
            missing -= len(more)
        if headers.get(b"connection") == b"close":
            self.close()
        return int(lines[0].split()[1]), headers, received[end + 4 :]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _more(self) -> bytes:
        assert self._socket is not None
        more = self._socket.recv(65_536)
        if not more:
            raise ConnectionError("the service closed the connection before its response was complete")
        return more


def post(
    address: Address, path: str, body: bytes, headers: str = "Content-Type: application/json\r\n"
) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {address.key}\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def labels_of(number: int) -> dict[str, str]:
    """Every second series is a counter."""
    instance = f"10.0.{number % 50}.{number % 7}:9100"
    if number % 2:
        return {
            "__name__": "http_requests_total", "job": "shop", "instance": instance, "code": "200",
            "method": "GET", "path": f"/api/v1/items/{number}",
        }  # fmt: skip
    return {"__name__": "node_memory_bytes", "job": "shop", "instance": instance, "device": f"disk{number}"}


def value_of(number: int, scrape: int) -> float:
    """What a series has at a scrape: a count that grows steadily, or a number that only this sample has."""
    return number + GROWTH * scrape if number % 2 else scrape * 1e5 + number + 0.5


class Shard:
    """The requests of one shard, one after the other: its series in turn, scrape after scrape."""

    def __init__(self, shard: int, start_ms: int) -> None:
        self._start_ms = start_ms
        self._numbers = series_of_shard(shard)
        self._labels = [
            b"".join(label(name, value) for name, value in sorted(labels_of(number).items()))
            for number in self._numbers
        ]

    def body(self, request: int) -> bytes:
        parts = []
        for at in range(request * SAMPLES_A_REQUEST, (request + 1) * SAMPLES_A_REQUEST):
            scrape, position = divmod(at, len(self._numbers))
            value = struct.pack("<d", value_of(self._numbers[position], scrape))
            time_ms = varint(self._start_ms + scrape * STEP_S * 1_000)
            parts.append(message(1, self._labels[position] + message(2, b"\x09" + value + b"\x10" + time_ms)))
        return compressed(*parts)


def series_of_shard(shard: int) -> list[int]:
    return list(range(shard, SERIES, SHARDS))


def push(address: Address, shard: int, start_ms: int, seconds: float, per_minute: float) -> Tally:
    """Send samples at a rate, and what the service did not take again, until the time is over."""
    requests, client, tally = Shard(shard, start_ms), Client(address), Tally()
    headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
    every_s = 60 * SAMPLES_A_REQUEST / (per_minute / SHARDS)
    began = time.monotonic()
    number = 0
    while (now := time.monotonic()) - began < seconds:
        due = began + number * every_s
        if due > now:
            time.sleep(due - now)
        request = post(address, "/api/v1/write", requests.body(number), headers)
        while True:
            asked = time.monotonic()
            status, answered, body = client.ask(request)
            tally.seconds.append(time.monotonic() - asked)
            tally.statuses[status] += 1
            if status == 204:
                break
            if not may_retry(status, answered) or time.monotonic() - began > seconds + 60:
                tally.wrong.append(f"{status} {dict(answered)} {body[:300]!r}")
                tally.lasted_s = time.monotonic() - began
                return tally
            time.sleep(int(answered[b"retry-after"]))
        tally.samples += SAMPLES_A_REQUEST
        number += 1
    tally.lasted_s = time.monotonic() - began
    client.close()
    return tally


def may_retry(status: int, headers: dict[bytes, bytes]) -> bool:
    return status in {429, 503} and headers.get(b"retry-after", b"").isdigit()


def ask_detect(address: Address, bodies: Sequence[bytes], clients: int, seconds: float) -> Tally:
    """Some clients in a closed loop, each with its own connection."""
    tally = Tally()
    requests = [post(address, "/detect", body) for body in bodies]
    until = time.monotonic() + seconds

    def ask(first: int) -> None:
        client = Client(address)
        number = first
        while time.monotonic() < until:
            asked = time.monotonic()
            status, headers, body = client.ask(requests[number % len(requests)])
            tally.seconds.append(time.monotonic() - asked)
            tally.statuses[status] += 1
            if status != 200:
                if not may_retry(status, headers):
                    tally.wrong.append(f"{status} {body[:300]!r}")
                time.sleep(0.5)
            number += 1
        client.close()

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(ask, range(clients)))
    return tally


def probe(address: Address, seconds: float) -> Tally:
    """`GET /livez` on a new connection every time, as an orchestrator asks."""
    tally = Tally()
    until = time.monotonic() + seconds
    request = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    while time.monotonic() < until:
        asked = time.monotonic()
        status, _, body = Client(address, timeout_s=10.0).ask(request)
        tally.seconds.append(time.monotonic() - asked)
        tally.statuses[status] += 1
        if status != 200:
            tally.wrong.append(f"{status} {body[:300]!r}")
        time.sleep(max(0.0, asked + PROBE_EVERY_S - time.monotonic()))
    return tally


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return 1_000 * ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


@contextmanager
def running(function: Any, *arguments: Any) -> Iterator[Any]:
    """Run a function in a process of its own; the block gets a function that waits for its result."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(theirs, function, arguments))
    process.start()
    theirs.close()

    def result() -> Any:
        return ours.recv()

    try:
        yield result
    finally:
        process.join(timeout=30)
        if process.is_alive():
            process.kill()
            process.join()
        ours.close()


def _report(results: Connection, function: Any, arguments: Any) -> None:
    results.send(function(*arguments))


def detect_bodies(series_ids: Sequence[int], times: Sequence[str]) -> list[bytes]:
    """One observation each."""
    return [
        json.dumps(
            {
                "observations": [
                    {"series_id": series_ids[number % len(series_ids)], "ts": ts, "value": 0.2 + number / 1e6}
                ]
            }
        ).encode()
        for number, ts in enumerate(times)
    ]
