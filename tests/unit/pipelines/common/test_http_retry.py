"""`HttpRetry` against a real HTTP server on this machine, with a clock that only moves when somebody waits."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RetryLaterError
from pipelines.common.http_retry import (
    MAX_WAIT_S,
    SEND_ONCE,
    SHOWN_CHARS,
    HttpRetry,
    RetryPolicy,
    body_text,
    retry_after_s,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENT = RetryPolicy(waits_s=(1.0, 2.0), patience_s=120.0, repeatable=True)


@dataclass
class Time:
    """Clock, monotonic clock and sleep of a test."""

    passed_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed_s += seconds


@dataclass
class Server:
    """Answers with the next of `responses` (status, headers, body), then with 200."""

    time: Time
    responses: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    requested_at: list[float] = field(default_factory=list)
    url: str = ""

    def answer(self, status: int, retry_after: str | None = None, body: str = "", **headers: str) -> None:
        self.responses.append(
            (status, headers | ({"Retry-After": retry_after} if retry_after is not None else {}), body)
        )


@pytest.fixture
def server() -> Iterator[Server]:
    up = Server(Time())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            up.requested_at.append(up.time.passed_s)
            status, headers, body = up.responses.pop(0) if up.responses else (200, {}, "")
            if status == 0:  # the connection breaks
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    up.url = f"http://127.0.0.1:{http.server_address[1]}/"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield up
    http.shutdown()
    http.server_close()


def retry(server: Server, policy: RetryPolicy = PATIENT, secrets: tuple[str, ...] = ()) -> HttpRetry:
    time = server.time
    return HttpRetry("pager", policy, secrets=secrets, clock=time, sleep=time.sleep, monotonic=time.monotonic)


def post(server: Server) -> Callable[[], httpx.Response]:
    return lambda: httpx.post(server.url, content=b"body", trust_env=False)


@pytest.mark.parametrize("status", [429, 408, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_a_busy_server_gets_the_next_request_when_it_asked_for_it(
    server: Server, status: int, as_date: bool
) -> None:
    asked = format_datetime(NOON + timedelta(seconds=40), usegmt=True) if as_date else "40"
    server.answer(status, asked)
    assert retry(server).send(post(server)).status_code == 200
    assert server.requested_at == [0.0, 40.0]


def test_a_date_counts_from_the_clock_of_the_server(server: Server) -> None:
    ahead = NOON + timedelta(hours=1)
    later = format_datetime(ahead + timedelta(seconds=7), usegmt=True)
    server.answer(429, later, Date=format_datetime(ahead, usegmt=True))
    retry(server).send(post(server))
    assert server.requested_at == [0.0, 7.0]


def test_a_wait_beyond_the_patience_is_an_error_with_the_time_and_the_body(server: Server) -> None:
    server.answer(429, "300", body='{"error": "slow\\ndown, my-key"}')
    with pytest.raises(
        RetryLaterError, match=r"pager answered HTTP 429: slow down, \*\*\*; .*12:05:00"
    ) as caught:
        retry(server, secrets=("my-key",)).send(post(server))
    assert caught.value.retry_at == NOON + timedelta(seconds=300)
    assert server.time.slept == []


@pytest.mark.parametrize("asked", ["60", None])
def test_no_other_request_reaches_a_server_that_asked_to_wait(server: Server, asked: str | None) -> None:
    sender = retry(server, SEND_ONCE)
    server.answer(429, asked)
    for _ in range(100):
        with pytest.raises(RetryLaterError):
            sender.send(post(server))
    assert len(server.requested_at) == 1
    server.time.passed_s += 60
    assert sender.send(post(server)).status_code == 200


def test_a_clock_that_is_set_back_does_not_lengthen_the_wait(server: Server) -> None:
    sender = retry(server, SEND_ONCE)
    server.answer(429, "60")
    with pytest.raises(RetryLaterError):
        sender.send(post(server))
    server.time.now = lambda: NOON - timedelta(hours=1)  # type: ignore[method-assign]
    server.time.passed_s += 60
    assert sender.send(post(server)).status_code == 200


def test_repeated_answers_of_429_end_when_the_patience_ends(server: Server) -> None:
    for _ in range(100):
        server.answer(429, "50")
    with pytest.raises(RetryLaterError):
        retry(server).send(post(server))
    assert server.requested_at == [0.0, 50.0, 100.0]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_read_is_repeated_after_a_failure_and_the_last_failure_is_returned(
    server: Server, status: int
) -> None:
    for _ in range(4):
        server.answer(status)
    assert retry(server).send(post(server)).status_code == status
    assert server.requested_at == [0.0, 1.0, 3.0]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 501, 302])
def test_an_answer_that_a_repeat_does_not_change_is_returned(server: Server, status: int) -> None:
    server.answer(status, "5")
    assert retry(server).send(post(server)).status_code == status
    assert len(server.requested_at) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_message_that_may_have_arrived_is_not_sent_again(server: Server, status: int) -> None:
    server.answer(status)
    assert retry(server, SEND_ONCE).send(post(server)).status_code == status
    assert len(server.requested_at) == 1


def test_a_final_answer_is_not_repeated(server: Server) -> None:
    server.answer(503, "60", body="query timed out")
    final = RetryPolicy(
        waits_s=(1.0,), patience_s=120, is_final=lambda response: "timed out" in response.text
    )
    assert retry(server, final).send(post(server)).status_code == 503
    assert len(server.requested_at) == 1


def test_a_lost_connection_is_repeated_for_reads_only(server: Server) -> None:
    server.answer(0)
    assert retry(server).send(post(server)).status_code == 200
    server.answer(0)
    with pytest.raises(httpx.TransportError):
        retry(server, SEND_ONCE).send(post(server))


NOW_S = st.integers(-(10**6), 10**6)


@given(st.integers(0, 10**400))
def test_seconds_are_bounded(seconds: int) -> None:
    asked = retry_after_s(httpx.Response(429, headers={"Retry-After": str(seconds)}), NOON)
    assert asked == (min(seconds, MAX_WAIT_S) if seconds else None)


@given(NOW_S)
def test_all_three_forms_of_a_date_mean_the_same(offset_s: int) -> None:
    until = NOON + timedelta(seconds=offset_s)
    forms = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")
    asked = {
        retry_after_s(httpx.Response(503, headers={"Retry-After": until.strftime(form)}), NOON)
        for form in forms
    }
    assert asked == {min(float(offset_s), MAX_WAIT_S) if offset_s > 0 else None}


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_a_retry_after_that_is_garbage_is_no_error(text: str) -> None:
    response = httpx.Response(429, headers=[(b"Retry-After", text.encode("latin-1"))])
    asked = retry_after_s(response, NOON)
    assert asked is None or 1 <= asked <= MAX_WAIT_S


@given(st.binary())
def test_the_body_of_an_error_is_one_short_printable_line(body: bytes) -> None:
    shown = body_text(httpx.Response(400, content=body))
    assert len(shown) <= SHOWN_CHARS + 3
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"status": "error", "error": "bad query"}', "bad query"),
        (b'{"message": "invalid routing key"}', "invalid routing key"),
        (b'"start time must be before end time"', "start time must be before end time"),
        (b'{"errors": ["x"]}', '{"errors": ["x"]}'),
        (b"404 page not found\n", "404 page not found"),
        (b"", ""),
    ],
)
def test_the_reason_in_a_body_is_shown(body: bytes, shown: str) -> None:
    assert body_text(httpx.Response(400, content=body)) == shown
