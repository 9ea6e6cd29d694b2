"""Requests on raw sockets: slow ones, many at once, and ones whose lengths and headers lie."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from e2e.fleet import Fleet
from e2e.test_serving_soak import resident_bytes
from servers.requests import snappy_bomb
from servers.service import environment_of

from core.settings import Settings
from flows.service_process import start_service
from pipelines.processes.server_process import ServerProcess, free_port
from serving.http.protocol import HEAD_TIMEOUT_S
from serving.state.limits import BODY_TIMEOUT_S

SLOW_CONNECTIONS = 200


def connect(fleet: Fleet, timeout_s: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", fleet.settings.serve_port), timeout_s)


def head_of(
    fleet: Fleet, *headers: str, method: str = "POST", path: str = "/detect", version: str = "1.1"
) -> bytes:
    lines = [
        f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", f"Authorization: Bearer {fleet.keys['acme']}",
        "Content-Type: application/json", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


def exchange(fleet: Fleet, sent: bytes, *, end: bool = True) -> list[int]:
    """The statuses of all responses, until the service closes the connection or sends nothing more."""
    with connect(fleet, timeout_s=3.0) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while part := connection.recv(65_536):
                received += part
        except (TimeoutError, ConnectionResetError):
            pass
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def assert_alive(fleet: Fleet) -> None:
    began = time.monotonic()
    assert httpx.get(f"{fleet.url}/livez", trust_env=False).status_code == 200
    assert time.monotonic() - began < 1.0


def observation(fleet: Fleet) -> bytes:
    one = {"series_id": fleet.series["acme"][0].series_id, "ts": fleet.now.isoformat(), "value": 0.2}
    return json.dumps({"observations": [one]}).encode()


@contextmanager
def dripping(fleet: Fleet, start: bytes, connections: int) -> Iterator[list[socket.socket]]:
    """Connections that send `start`, and then a byte each second."""
    stop = threading.Event()
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(fleet)) for _ in range(connections)]
        for one in opened:
            one.sendall(start)

        def drip() -> None:
            while not stop.wait(1.0):
                for one in opened:
                    try:
                        one.sendall(b" ")
                    except OSError:
                        continue

        sender = threading.Thread(target=drip)
        sender.start()
        try:
            yield opened
        finally:
            stop.set()
            sender.join()


@pytest.mark.parametrize("part", ["head", "body"])
def test_two_hundred_slow_connections_hold_up_nobody(fleet: Fleet, part: str) -> None:
    start = {
        "head": b"GET /livez HTTP/1.1\r\nX-Slow: ",
        "body": head_of(fleet, "Content-Length: 10000") + b"{",
    }
    with dripping(fleet, start[part], SLOW_CONNECTIONS), fleet.client() as client:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert_alive(fleet)
            assert client.post("/detect", content=observation(fleet)).status_code == 200


@pytest.mark.soak
@pytest.mark.parametrize(("part", "limit_s"), [("head", HEAD_TIMEOUT_S), ("body", BODY_TIMEOUT_S)])
def test_slow_connections_are_closed_with_408(fleet: Fleet, part: str, limit_s: float) -> None:
    start = (
        b"GET /livez HTTP/1.1\r\nX-Slow: "
        if part == "head"
        else head_of(fleet, "Content-Length: 10000") + b"{"
    )
    with dripping(fleet, start, SLOW_CONNECTIONS) as opened:
        time.sleep(limit_s + 2)
        assert_alive(fleet)
        for one in opened:
            assert one.recv(65_536).startswith(b"HTTP/1.1 408")


LYING = {
    "chunk longer than its data": ("Transfer-Encoding: chunked", b"ffff\r\n{}\r\n0\r\n\r\n"),
    "chunk shorter than its data": ("Transfer-Encoding: chunked", b"1\r\n{}\r\n0\r\n\r\n"),
    "chunk of a negative size": ("Transfer-Encoding: chunked", b"-1\r\n{}\r\n0\r\n\r\n"),
    "chunk of 2^64 bytes": ("Transfer-Encoding: chunked", b"ffffffffffffffff\r\n{}\r\n"),
    "chunk of 2^100 bytes": ("Transfer-Encoding: chunked", b"fffffffffffffffffffffffff\r\n{}\r\n"),
    "no last chunk": ("Transfer-Encoding: chunked", b"2\r\n{}\r\n"),
    "chunk without a size": ("Transfer-Encoding: chunked", b"\r\n{}\r\n"),
    "another encoding": ("Transfer-Encoding: gzip", b"{}"),
    "length and chunks": ("Content-Length: 2\r\nTransfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"),
    "length too long": ("Content-Length: 1000", b"{}"),
    "length too short": ("Content-Length: 1", b"{}"),
    "two lengths": ("Content-Length: 2\r\nContent-Length: 3", b"{}"),
    "length with a sign": ("Content-Length: +2", b"{}"),
    "length that is no number": ("Content-Length: 1e3", b"{}"),
    "length of 2^70": (f"Content-Length: {2**70}", b"{}"),
    "length below 0": ("Content-Length: -1", b"{}"),
}


@pytest.mark.parametrize("name", LYING)
def test_lengths_that_lie_are_refused(fleet: Fleet, name: str) -> None:
    header, body = LYING[name]
    statuses = exchange(fleet, head_of(fleet, header) + body)
    assert all(400 <= status < 500 for status in statuses), statuses
    assert_alive(fleet)


def test_pipelined_requests_are_all_answered_in_order(fleet: Fleet) -> None:
    body = observation(fleet)
    good = head_of(fleet, f"Content-Length: {len(body)}") + body
    bad = head_of(fleet, method="GET", path="/nothing")
    last = head_of(fleet, "Connection: close", method="GET", path="/livez")
    assert exchange(fleet, (good + bad) * 10 + last, end=False) == [200, 404] * 10 + [200]
    live = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert exchange(fleet, live * 2_000 + last, end=False) == [200] * 2_001


def test_a_client_that_never_reads_its_responses_holds_up_nobody(fleet: Fleet) -> None:
    with connect(fleet, timeout_s=0.5) as connection:
        request = head_of(fleet, method="GET", path="/docs.json")
        try:
            for _ in range(20):
                connection.sendall(request * 50)
        except TimeoutError:
            pass  # the service reads no more before it can send
        assert_alive(fleet)


@pytest.mark.parametrize("count", [100, 1_000, 8_000])
def test_many_headers_are_read_or_refused(fleet: Fleet, count: int) -> None:
    headers = [f"X-{number}: {number}" for number in range(count)]
    statuses = exchange(fleet, head_of(fleet, *headers, method="GET", path="/livez"))
    # The connection is closed while the rest arrives, so the response may get lost.
    assert statuses == [200] if count < 5_000 else statuses in ([431], [])
    assert_alive(fleet)


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\n\r\n", 200),
        (b"GET /livez HTTP/3.0\r\n\r\n", 400),
        (b"GET /livez\r\n\r\n", 200),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nBad Header\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_other_versions_and_odd_heads(fleet: Fleet, start: bytes, status: int) -> None:
    assert exchange(fleet, start)[:1] in ([status], [])
    assert_alive(fleet)


BODY_BYTES = 16_000_000


@pytest.fixture(scope="module")
def generous(fleet: Fleet) -> Iterator[tuple[Settings, ServerProcess]]:
    """A service that takes large bodies."""
    settings = fleet.settings.model_copy(update={"serve_port": free_port(), "max_body_bytes": BODY_BYTES})
    with start_service(settings, env=environment_of(settings)) as service:
        yield settings, service


def test_bombs_of_snappy_are_refused_and_take_no_memory(
    fleet: Fleet, generous: tuple[Settings, ServerProcess]
) -> None:
    _, service = generous
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    bomb = snappy_bomb(300_000_000)
    lying = b"\x80\x80\x80\x0f" + bomb[5:]  # declares 31 MB
    with fleet.client() as client:
        client.post(f"{service.url}/api/v1/write", content=b"", headers=headers)
        before = resident_bytes(service.process.pid)
        for body in (bomb, lying, snappy_bomb(30_000_000)):
            response = client.post(f"{service.url}/api/v1/write", content=body, headers=headers)
            assert response.status_code == 400, response.text
        assert resident_bytes(service.process.pid) < before + 200_000_000
        assert client.get(f"{service.url}/livez").status_code == 200


def test_many_of_the_largest_bodies_at_once_use_bounded_memory(
    fleet: Fleet, generous: tuple[Settings, ServerProcess]
) -> None:
    """Sixteen bodies have 256 MB together; the service holds 32 MB of one tenant, and asks the others to wait."""
    _, service = generous
    text = b"a" * 2_000
    alert = b'{"status": "firing", "labels": {"service": "s", "alertname": "%s"}},' % text
    body = b'{"alerts": [' + alert * (BODY_BYTES // len(alert) - 1) + alert[:-1] + b"]}"
    before = resident_bytes(service.process.pid)
    peaks: list[int] = []

    def send(_: int) -> httpx.Response:
        def parts() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            time.sleep(2)
            peaks.append(resident_bytes(service.process.pid))
            yield body[len(body) // 2 :]

        with fleet.client() as client:
            return client.post(
                f"{service.url}/webhooks/alerts",
                content=parts(),
                headers={"Content-Type": "application/json"},
            )

    with ThreadPoolExecutor(16) as threads:
        statuses = []
        for future in [threads.submit(send, number) for number in range(16)]:
            try:
                response = future.result()
            except httpx.WriteError:
                continue  # refused, and the connection closed, while the body was on its way
            statuses.append(response.status_code)
            if response.status_code == 503:
                assert int(response.headers["Retry-After"]) > 0
    assert set(statuses) <= {200, 400, 413, 503}
    assert max(peaks) < before + 150_000_000
    assert httpx.get(f"{service.url}/livez", trust_env=False).status_code == 200
