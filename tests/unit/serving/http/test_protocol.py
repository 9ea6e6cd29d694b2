"""The head of a request is bounded in size and in time, also without a key."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn

from serving.http.protocol import LimitedProtocol


class Impatient(LimitedProtocol):
    max_head_bytes = 2_000
    head_timeout_s = 0.3


async def application(scope: Any, receive: Any, send: Any) -> None:
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def exchange(parts: Sequence[bytes], pause_s: float = 0.0) -> bytes:
    """What the server sends until it closes the connection."""

    async def run() -> bytes:
        config = uvicorn.Config(
            application, port=0, http=Impatient, log_config=None, lifespan="off", timeout_keep_alive=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        server.should_exit = True
        await serving
        return received

    return asyncio.run(run())


def status_and_error(received: bytes) -> tuple[int, str]:
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


def test_usual_requests_pass_also_several_on_one_connection() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange([request, request, last], pause_s=0.05).count(b"HTTP/1.1 204") == 3


def test_a_slow_body_is_not_a_slow_head() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"
    assert b"HTTP/1.1 204" in exchange([head, b"a", b"b", b"c"], pause_s=0.2)


@pytest.mark.parametrize("part", [b"X: " + b"a" * 500 + b"\r\n", b"a" * 500])
def test_headers_that_are_too_large_are_refused(part: bytes) -> None:
    status, error = status_and_error(exchange([b"GET / HTTP/1.1\r\nX: ", *[part] * 4]))
    assert status == 431
    assert "2000 bytes" in error


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_headers_that_are_too_large_are_refused_also_when_they_arrive_at_once(before: bytes) -> None:
    large = b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1_000 + b"\r\n"
    received = exchange([before, large] if before else [large], pause_s=0.1)
    assert received.count(b"HTTP/1.1 204") == bool(before)
    assert b"HTTP/1.1 431" in received


def test_many_pipelined_requests_are_no_large_head() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange([request * 500 + last]).count(b"HTTP/1.1 204") == 501


@pytest.mark.parametrize("parts", [[], [b"GET"], [b"GET / HTTP/1.1\r\n", b"X: 1\r\n"]])
def test_headers_that_do_not_arrive_in_time_are_refused(parts: list[bytes]) -> None:
    status, error = status_and_error(exchange(parts))
    assert status == 408
    assert "in time" in error


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_gets_an_error_in_json(garbage: bytes) -> None:
    status, error = status_and_error(exchange([garbage]))
    assert (status, error) == (400, "the request is not valid HTTP/1.1")
