"""A small HTTP receiver that goes down and comes back on the same port, and answers in every unfriendly way."""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from core.clock import Clock, SystemClock


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """How to answer a request.

    Attributes:
        hang_s: wait so long, and then close the connection without an answer.
        drip: send a byte of the answer now and then, without end.
        drop: close the connection at once, without an answer.
        cut: close the connection in the middle of the answer.
        keep: whether the receiver keeps what it was sent; null: when the status is below 300.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang_s: float = 0.0
    drip: bool = False
    drop: bool = False
    cut: bool = False
    keep: bool | None = None


@dataclass
class Receiver:
    """Keeps what it was sent; `answers` are the next statuses, then what `reply_to` decides, else 200.

    Attributes:
        attempts: all requests.
        requests: those that it accepted, whether or not it could tell the sender so.
        clock: for the times of the requests.
    """

    requests: list[Request] = field(default_factory=list)
    attempts: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    reply_to: Callable[[Request], Reply] = lambda request: Reply()
    clock: Clock = field(default_factory=SystemClock)
    _server: ThreadingHTTPServer | None = None
    _port: int = 0
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def up(self) -> None:
        receiver = self
        self._closing.clear()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, dict(self.headers.items()), body, receiver.clock.now())
                reply = Reply(receiver.answers.pop(0)) if receiver.answers else receiver.reply_to(request)
                receiver.attempts.append(request)
                if reply.keep or (reply.keep is None and reply.status < 300):
                    receiver.requests.append(request)
                if reply.hang_s:
                    receiver._closing.wait(reply.hang_s)
                if reply.hang_s or reply.drop:
                    self.close_connection = True
                elif reply.drip:
                    self._drip()
                else:
                    self.send_response_only(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply.body) + 100 * reply.cut))
                    self.end_headers()
                    with suppress(OSError):  # the client has read enough
                        self.wfile.write(reply.body)

            def do_GET(self) -> None:
                self.do_POST()

            def _drip(self) -> None:
                self.close_connection = True
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not receiver._closing.wait(0.05):
                        self.wfile.write(b"z")
                except OSError:
                    pass  # the client gave up

            def log_message(self, *_: object) -> None:
                """Tests print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
