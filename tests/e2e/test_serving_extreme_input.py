"""Requests by hand that are huge, deep, compressed, or hold what no store can hold: a 4xx or a dead letter, no 5xx."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from e2e.fleet import STEP, Fleet
from fakes.remote_write import compressed, field, varint

from serving.http.routes import ROUTES

JSON_BODY = {"Content-Type": "application/json"}
#: Names that no store can hold. JSON has the half of a surrogate pair as an escape.
BAD_NAMES = {
    "NUL": "a\0b",
    "8 KB": "a" * 8_192,
    "random 8 KB": "".join(chr(65 + i * i % 26) for i in range(8_192)),
}


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[httpx.Client]:
    with fleet.client() as opened:
        yield opened


def assert_refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_store_can_hold_is_refused(client: httpx.Client, fleet: Fleet, name: str) -> None:
    bad, at = BAD_NAMES[name], fleet.now.isoformat()
    bodies: dict[str, Any] = {
        "/detect": {"observations": [{"service": bad, "metric": "m", "ts": at, "value": 1.0}]},
        "/detect_batch": {"series": [{"service": "s", "metric": bad, "points": [{"ts": at, "value": 1.0}]}]},
        "/forecast": {"service": "s", "metric": "m", "labels": {bad: "x"}},
        "/predict_failure": {"services": [bad]},
        "/events": {"events": [{"service": bad, "kind": "deploy", "at": at}]},
        "/feedback": {"signal_id": "a", "value": "true_positive", "by": bad},
    }
    for path, body in bodies.items():
        assert_refused(client.post(path, json=body))
    assert_refused(client.get("/signals", params={"service": bad}))


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["service", "title", "version"])
def test_a_deploy_with_such_a_text_is_a_dead_letter(
    client: httpx.Client, fleet: Fleet, key: str, name: str
) -> None:
    good = {"service": "checkout", "at": fleet.now.isoformat()}
    answer = client.post("/webhooks/deploys", json=[good, good | {key: BAD_NAMES[name]}])
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["service", "alertname"])
def test_an_alert_with_such_a_name_is_a_dead_letter(
    client: httpx.Client, fleet: Fleet, key: str, name: str
) -> None:
    labels = {"service": "checkout", "alertname": "Errors", key: BAD_NAMES[name]}
    alert = {"status": "firing", "labels": labels, "startsAt": fleet.now.isoformat()}
    answer = client.post("/webhooks/alerts", json={"alerts": [alert]})
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)


@pytest.mark.parametrize("path", ["/webhooks/deploys", "/webhooks/alerts", "/detect", "/events"])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"alerts":' * 10_000,
        b"[" * 90 + b"]" * 90,
        b'{"alerts":[' + b"0," * 80_000 + b"0]}",
        b'{"events":[' + b"{}," * 50_000 + b"{}]}",
        b"[" + b"9" * 10_000 + b"]",
        b'{"service":"\\ud800"}',
        b"{" + b",".join(b'"%d":0' % number for number in range(15_000)) + b"}",
    ],
    ids=[
        "deep",
        "deep object",
        "90 deep",
        "80,000 numbers",
        "50,000 objects",
        "10,000 digits",
        "surrogate",
        "keys",
    ],
)
def test_what_is_deep_or_has_many_entries_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON_BODY)
    # A webhook accepts any JSON of bounded size; what makes no sense becomes a dead letter.
    if not (path.startswith("/webhooks") and answer.status_code == 200):
        assert_refused(answer)


def test_a_compressed_body_is_refused_unread(client: httpx.Client) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    for encoding in ("gzip", "deflate", "br", "zstd"):
        answer = client.post("/detect", content=bomb, headers=JSON_BODY | {"Content-Encoding": encoding})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        compressed(bytes(200_000)),
        compressed(b"\x0a\x00" * 50_000),
        compressed(field(1, b"\x0a\x00" * 50_000)),
        varint(2**31) + b"abc",
        varint(2**40) + b"abc",
        b"\xff" * 1_000,
        b"",
    ],
    ids=["zeros", "empty series", "empty labels", "2 GB", "1 TB", "no length", "nothing"],
)
def test_a_bomb_of_snappy_is_refused(client: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    answer = client.post("/api/v1/write", content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    assert client.get("/livez").status_code == 200


def test_a_document_of_github_in_another_shape_is_a_dead_letter(client: httpx.Client) -> None:
    for deployment in (None, "v2", [1], {"ref": 1}, {"ref": "a\0b", "created_at": 2**70}):
        body = {"deployment": deployment, "repository": {"name": "checkout"}}
        answer = client.post("/webhooks/deploys", content=json.dumps(body), headers=JSON_BODY)
        assert (answer.status_code, answer.json()["rejected"]) == (200, 1)


#: Every class of float64 as JSON: huge, tiny, subnormal, zero of both signs, noise around a constant, many digits.
FLOATS = (
    "1.7e308", "-1.7e308", "1.7976931348623157e308", "-1.7976931348623157e308", "5e-324", "-5e-324",
    "2.2250738585072014e-308", "1e-300", "-0.0", "0.0", "0", "0.3", "0.30000000000000004", "1e18", "-1e18",
    "9007199254740993", "123456789012345678901234567890",
)  # fmt: skip


@pytest.mark.parametrize("position", [0, 1])
def test_any_number_can_be_scored(client: httpx.Client, fleet: Fleet, position: int) -> None:
    series_id = fleet.series["acme"][position].series_id
    for number in FLOATS:
        point = f'{{"series_id": {series_id}, "ts": "{fleet.now.isoformat()}", "value": {number}}}'
        answer = client.post("/detect", content=f'{{"observations": [{point}]}}', headers=JSON_BODY)
        assert answer.status_code == 200, (number, answer.text)
        (result,) = answer.json()["results"]
        assert result["score"] is None or 0 <= result["score"] <= 1


@pytest.mark.parametrize("position", [0, 1])
def test_any_numbers_in_one_series_can_be_scored(client: httpx.Client, fleet: Fleet, position: int) -> None:
    series_id = fleet.series["acme"][position].series_id
    values = [number for number in FLOATS for _ in range(3)] + [*FLOATS]
    points = ", ".join(
        f'{{"ts": "{(fleet.now - number * STEP).isoformat()}", "value": {value}}}'
        for number, value in enumerate(values)
    )
    body = f'{{"series": [{{"series_id": {series_id}, "points": [{points}]}}]}}'
    answer = client.post("/detect_batch", content=body, headers=JSON_BODY)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["results"]) == len(values)


@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity", '"0.5"', "true", "1e", "0x10", "1_000"])
def test_what_is_no_number_is_refused(client: httpx.Client, fleet: Fleet, number: str) -> None:
    series_id = fleet.series["acme"][0].series_id
    point = f'{{"series_id": {series_id}, "ts": "{fleet.now.isoformat()}", "value": {number}}}'
    assert_refused(client.post("/detect", content=f'{{"observations": [{point}]}}', headers=JSON_BODY))


def numbers_in(node: Any) -> Iterator[tuple[Any, Any]]:
    """Where an example has a number: its list or object, and the index or key there."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        if isinstance(node[key], dict | list):
            yield from numbers_in(node[key])
        elif isinstance(node[key], int | float) and not isinstance(node[key], bool):
            yield node, key


@pytest.mark.parametrize(
    "path",
    ["/detect", "/detect_batch", "/forecast", "/predict_failure", "/score_hypotheses", "/webhooks/alerts"],
)
def test_any_number_in_any_place_is_taken_or_refused(client: httpx.Client, fleet: Fleet, path: str) -> None:
    (kind,) = [route.request for route in ROUTES if route.path == path and route.request is not None]
    series = fleet.series["acme"][1]
    named = {"service": series.service, "metric": series.metric, "labels": dict(series.labels)}
    for example in kind.model_json_schema()["examples"]:
        body = json.loads(json.dumps(example))
        for one in (body, *body.get("observations", ()), *body.get("series", ())):
            if isinstance(one, dict) and "metric" in one:
                one.update(named)
        for place, key in list(numbers_in(body)):
            kept, place[key] = place[key], "PLACE"
            text = json.dumps(body)
            place[key] = kept
            for number in (*FLOATS, "NaN", "-Infinity", "1e400", "1e-400"):
                content = text.replace('"PLACE"', number)
                answer = client.post(path, content=content, headers=JSON_BODY)
                assert answer.status_code < 500, (content, answer.text)
                json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
