"""Whatever is sent, the answer is a 4xx with one clear sentence, and the service goes on."""

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from any_float import AWKWARD
from e2e.fleet import Fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.endpoints.route import JSON
from serving.http.routes import ROUTES

POSTS = [route.path for route in ROUTES if route.has_body and route.media_type == JSON]
EXAMPLES = {
    route.path: route.request.model_json_schema()["examples"][0]
    for route in ROUTES
    if route.request is not None and route.path in POSTS
}
JSON_BODY = {"Content-Type": JSON}


def assert_one_sentence(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].isprintable()


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[httpx.Client]:
    with fleet.client() as opened:
        yield opened


RAW = {
    "nothing": b"",
    "broken": b'{"observations": [',
    "NaN": b'{"observations": [{"series_id": 1, "ts": "2026-01-01T00:00:00Z", "value": NaN}]}',
    "Infinity": b'{"observations": [{"series_id": 1, "ts": "2026-01-01T00:00:00Z", "value": -Infinity}]}',
    "invalid UTF-8": b"\xff\xfe\x00",
    "UTF-16": '{"observations": []}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "deep": b"[" * 50_000,
    "deep object": b'{"a":' * 50_000,
    "array": b"[]",
    "null": b"null",
    "number": b"1",
    "text": b'"observations"',
    "two documents": b"{}{}",
    "unknown field": b'{"x": 1}',
    "pickle": b"\x80\x04\x95",
}


@pytest.mark.parametrize("path", [path for path in POSTS if not path.startswith("/webhooks")])
@pytest.mark.parametrize("name", RAW)
def test_a_body_that_is_wrong_is_said_so(client: httpx.Client, path: str, name: str) -> None:
    assert_one_sentence(client.post(path, content=RAW[name], headers=JSON_BODY))


@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_is_too_large_is_refused_however_it_is_sent(client: httpx.Client, path: str) -> None:
    size = 300_000
    whole = client.post(path, content=b" " * size, headers=JSON_BODY)
    chunked = client.post(path, content=(b" " * 10_000 for _ in range(size // 10_000)), headers=JSON_BODY)
    assert (whole.status_code, chunked.status_code) == (413, 413)
    assert_one_sentence(whole)


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.bentoml+pickle", "multipart/form-data", "x"])
def test_a_body_of_another_kind_is_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post("/detect", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert_one_sentence(answer)


@pytest.mark.parametrize(
    "request_of",
    [
        ("GET", "/nothing"),
        ("GET", "/schema.json"),
        ("GET", "/detect"),
        ("PUT", "/signals"),
        ("GET", "/signals?limit=0"),
        ("GET", "/signals?cursor=x"),
        ("GET", "/signals?nothing=1"),
        ("GET", "/signals?service=%00"),
        ("GET", "/signals?service=%ff"),
        ("POST", "/detect/submit"),
    ],
)
def test_a_wrong_path_or_query_is_said_so(client: httpx.Client, request_of: tuple[str, str]) -> None:
    answer = client.request(*request_of)
    assert_one_sentence(answer)


def test_no_key_and_a_wrong_key_are_refused(fleet: Fleet) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer fw_000000000000_" + "0" * 48}):
        answer = httpx.post(f"{fleet.url}/detect", headers=headers, json={}, trust_env=False)
        assert answer.status_code == 401
        assert_one_sentence(answer)


def test_a_request_that_is_no_http_does_not_stop_the_service(fleet: Fleet) -> None:
    host, port = fleet.url.removeprefix("http://").split(":")
    for garbage in (b"\x00" * 100, b"GET\r\n\r\n", b"POST /detect HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1_000)
    assert httpx.get(f"{fleet.url}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["/detect", "/detect_batch"])
def test_any_float_is_scored(fleet: Fleet, client: httpx.Client, path: str) -> None:
    series_id = fleet.series["acme"][0].series_id
    points = [
        {"ts": (fleet.now - timedelta(seconds=len(AWKWARD) - at)).isoformat(), "value": value}
        for at, value in enumerate(AWKWARD)
    ]
    body: dict[str, Any] = {"observations": [{"series_id": series_id} | point for point in points]}
    if path == "/detect_batch":
        body = {"series": [{"series_id": series_id, "points": points}]}
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [one["value"] for one in results] == list(AWKWARD)
    for one in results:
        assert 0.0 <= one["score"] <= 1.0
        assert 0.0 <= one["p_value"] <= 1.0
        assert one["band"]["lower"] <= one["band"]["upper"]
    assert client.get("/readyz").status_code == 200


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, Any]:
    """A good request with one thing in it replaced by anything."""
    path = draw(st.sampled_from(POSTS))
    body = json.loads(json.dumps(EXAMPLES[path]))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(body)
    node, key = draw(st.sampled_from(places))
    node[key] = draw(ANY_JSON)
    return path, body


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=spoiled())
def test_a_good_request_with_anything_in_it_never_breaks_the_service(
    client: httpx.Client, case: tuple[str, Any]
) -> None:
    path, body = case
    answer = client.post(path, content=json.dumps(body).encode("utf-8", "surrogatepass"), headers=JSON_BODY)
    if answer.status_code != 200:
        assert_one_sentence(answer)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    path=st.sampled_from(POSTS),
    body=st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()),
)
def test_anything_at_all_never_breaks_the_service(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON_BODY)
    # A webhook takes any list: what makes no sense in it becomes a dead letter.
    if answer.status_code != 200 or not path.startswith("/webhooks"):
        assert_one_sentence(answer)
