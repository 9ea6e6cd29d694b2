"""Admission over ASGI without a server: keys, rates, sizes and types of bodies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from core.errors import UnavailableError
from core.settings import Settings
from serving.http.admission import CALL, Admission
from serving.state.api_keys import KeyCache
from serving.state.limits import BodyMemory, RateLimiter
from serving.state.runtime import Runtime

KEYS = {"key-of-acme": "acme", "key-of-globex": "globex"}
ACME = {"Authorization": "Bearer key-of-acme"}
BODY = {"services": ["checkout"]}


class Ring:
    def __init__(self) -> None:
        self.asked = 0

    def resolve(self, key: str) -> str | None:
        self.asked += 1
        if key == "key-while-down":
            raise UnavailableError("the database does not answer")
        return KEYS.get(key)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """An application that returns the call, or fails on request."""
    call = scope[CALL]
    if scope["path"] == "/models" and call.tenant == "globex":
        raise ZeroDivisionError("a bug")
    request = None if call.request is None else call.request.model_dump()
    await JSONResponse({"tenant": call.tenant, "request": request})(scope, receive, send)


def runtime_with(
    ring: Ring, *, rate_per_s: float = 1_000.0, now: Callable[[], float] = lambda: 0.0
) -> Runtime:
    runtime = Runtime()
    runtime.settings = Settings(max_body_bytes=2_000)
    runtime.keys = KeyCache(ring, clock=now)
    runtime.limiter = RateLimiter(rate_per_s, now)
    runtime.bodies = BodyMemory(100_000_000)
    return runtime


def asking(steps: Callable[[httpx.AsyncClient], Awaitable[Any]], runtime: Runtime | None = None) -> Any:
    """Run `steps` against admission."""

    async def run() -> Any:
        app: Any = Admission(inner, runtime or runtime_with(Ring()))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://admission"
        ) as client:
            return await steps(client)

    return asyncio.run(run())


def post(headers: dict[str, str] = ACME, **body: Any) -> httpx.Response:
    answer: httpx.Response = asking(
        lambda client: client.post("/predict_failure", headers=headers, **(body or {"json": BODY}))
    )
    return answer


def test_a_key_opens_its_tenant() -> None:
    assert post().json() == {"tenant": "acme", "request": BODY}
    assert post({"X-API-Key": "key-of-globex"}).json()["tenant"] == "globex"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic a2V5LW9mLWFjbWU="},
        {"Authorization": "key-of-acme"},
        {"X-API-Key": "KEY-OF-ACME"},
    ],
)
def test_a_request_without_a_valid_key_is_refused(headers: dict[str, str]) -> None:
    answer = post(headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert list(answer.json()) == ["error"]


def test_a_key_in_the_url_is_not_read() -> None:
    answer = asking(lambda client: client.get("/signals?api_key=key-of-acme"))
    assert answer.status_code == 401


def test_a_database_that_is_down_is_no_wrong_key() -> None:
    answer = post({"X-API-Key": "key-while-down"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/schema.json", 404),
        ("GET", "/detect", 405),
        ("DELETE", "/signals", 405),
        ("OPTIONS", "/detect", 405),
        ("GET", "/../etc/passwd", 404),
    ],
)
def test_an_unknown_path_or_method_is_an_error_of_one_sentence(method: str, path: str, status: int) -> None:
    answer = asking(lambda client: client.request(method, path, headers=ACME))
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("path", ["/metrics", "/docs.json", "/docs", "/"])
def test_docs_need_no_key(path: str) -> None:
    assert asking(lambda client: client.get(path)).json()["tenant"] is None


def test_probes_need_no_key_and_no_handler() -> None:
    assert asking(lambda client: client.get("/livez")).status_code == 200
    not_ready = asking(lambda client: client.get("/readyz"))
    assert not_ready.status_code == 503
    assert not_ready.headers["Retry-After"]
    assert "database" in not_ready.json()["error"]


def test_metrics_with_a_key_are_that_tenants() -> None:
    assert asking(lambda client: client.get("/metrics", headers=ACME)).json()["tenant"] == "acme"
    wrong = asking(lambda client: client.get("/metrics", headers={"X-API-Key": "wrong"}))
    assert wrong.status_code == 401


def test_a_body_over_the_limit_is_refused_by_its_length() -> None:
    answer = post(content=b" " * 2_001)
    assert answer.status_code == 413
    assert "2000 bytes" in answer.json()["error"]


def test_a_body_over_the_limit_is_refused_while_it_streams_and_read_no_further() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b" " * 500

    assert post(content=endless()).status_code == 413
    assert sent < 10


def test_a_body_of_exactly_the_limit_is_read() -> None:
    text = b'{"services": ["checkout"]}'
    assert post(content=text + b" " * (2_000 - len(text))).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/vnd.bentoml+pickle"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
def test_a_body_of_another_kind_is_refused(headers: dict[str, str]) -> None:
    assert post(ACME | headers, content=b"{}").status_code == 415


def test_a_tenant_with_too_many_requests_waits_and_others_do_not() -> None:
    runtime = runtime_with(Ring(), rate_per_s=1.0)

    async def steps(client: httpx.AsyncClient) -> list[httpx.Response]:
        mine = [await client.get("/models", headers=ACME) for _ in range(4)]
        return [
            *mine,
            await client.post("/predict_failure", headers={"X-API-Key": "key-of-globex"}, json=BODY),
        ]

    answers = asking(steps, runtime)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 200]
    assert answers[2].headers["Retry-After"] == "1"


def test_a_bug_in_an_endpoint_is_one_sentence_without_details() -> None:
    answer = asking(lambda client: client.get("/models", headers={"X-API-Key": "key-of-globex"}))
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text


def test_a_key_is_looked_up_once_and_again_after_its_time_to_live() -> None:
    ring, now = Ring(), [0.0]
    runtime = runtime_with(ring, now=lambda: now[0])

    async def steps(client: httpx.AsyncClient) -> None:
        for seconds in (0.0, 1.0, 9.0):
            now[0] = seconds
            await client.get("/models", headers=ACME)
        assert ring.asked == 1
        now[0] = 10.5
        await client.get("/models", headers=ACME)
        assert ring.asked == 2

    asking(steps, runtime)


def test_guessed_keys_do_not_push_valid_keys_out_of_the_cache() -> None:
    ring = Ring()
    runtime = runtime_with(ring)
    runtime.keys = KeyCache(ring, size=3, clock=lambda: 0.0)

    async def steps(client: httpx.AsyncClient) -> None:
        await client.get("/models", headers=ACME)
        for guess in range(20):
            await client.get("/models", headers={"X-API-Key": f"guess-{guess}"})
        before = ring.asked
        await client.get("/models", headers=ACME)
        assert ring.asked == before

    asking(steps, runtime)


def test_the_access_log_holds_no_key_and_no_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        asking(lambda client: client.get("/signals?service=secret-thing", headers=ACME))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "forewarn.access"]
    assert line.startswith("GET /signals 200 ")
    assert line.endswith(" ms tenant=acme")


def test_unknown_paths_do_not_become_metrics() -> None:
    runtime = runtime_with(Ring())

    async def steps(client: httpx.AsyncClient) -> None:
        for number in range(50):
            await client.request(f"MADEUP{number}", f"/made-up-{number}", headers=ACME)

    asking(steps, runtime)
    text = runtime.metrics.text().decode()
    assert "made-up" not in text.lower().replace("_", "-")
    assert 'route="unknown"} 50.0' in text


def post_large(path: str, body: Any) -> httpx.Response:
    """Post a body of up to a megabyte."""
    runtime = runtime_with(Ring())
    runtime.settings = Settings(max_body_bytes=1_000_000)
    answer: httpx.Response = asking(lambda client: client.post(path, headers=ACME, json=body), runtime)
    return answer


def test_a_body_of_too_many_values_is_refused_before_it_is_parsed() -> None:
    for path in ("/predict_failure", "/detect", "/webhooks/alerts", "/webhooks/deploys"):
        answer = post_large(path, [0] * 300_000)
        assert answer.status_code == 413
        assert "at most" in answer.json()["error"]


def test_a_webhook_of_too_many_entries_is_refused_with_the_limit() -> None:
    for body in ({"alerts": [0] * 40_000}, [0] * 40_000, {"events": [0] * 40_000}):
        answer = post_large("/webhooks/deploys", body)
        assert answer.status_code == 400
        assert "at most 5000 entries, not 40000" in answer.json()["error"]


def test_a_request_that_takes_too_long_gets_our_error() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def run() -> httpx.Response:
        app: Any = Admission(slow, runtime_with(Ring()), timeout_s=0.01)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get("/models", headers=ACME)

    answer = asyncio.run(run())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "longer than 0.01 s" in answer.json()["error"]


@pytest.mark.parametrize("query", ["service=%ff", "service=%C3%28", "%ed%a0%80=1"])
def test_a_query_that_is_no_utf_8_is_refused_and_no_character_is_replaced(query: str) -> None:
    answer = asking(lambda client: client.get(f"/signals?{query}", headers=ACME))
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["error"]


def test_errors_of_otlp_have_the_form_and_the_encoding_that_its_protocol_demands() -> None:
    async def steps(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/v1/metrics", content=b"", headers=ACME | {"Content-Encoding": "zstd"}),
            await client.post("/v1/metrics", content=b"{}", headers={"Content-Type": "application/json"}),
            await client.post("/v1/metrics", content=b"x" * 3_000, headers=ACME),
            await client.post("/v1/metrics", content=b"", headers=ACME | {"Content-Type": "text/plain"}),
        ]

    compressed, no_key, large, text = asking(steps)
    assert compressed.status_code == 415
    assert compressed.headers["content-type"] == "application/x-protobuf"
    # the code INVALID_ARGUMENT, then the message
    assert compressed.content[:3] == b"\x08\x03\x12"
    assert b"compressed with gzip, or not at all" in compressed.content
    assert (no_key.status_code, no_key.json()["code"]) == (401, 16)
    assert no_key.json()["message"] == no_key.json()["error"]
    assert no_key.headers["www-authenticate"] == "Bearer"
    assert (large.status_code, large.content[:2]) == (413, b"\x08\x08")
    assert (text.status_code, text.headers["content-type"]) == (415, "application/json")
