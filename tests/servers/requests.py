"""Requests of every kind, as people and attackers send them; each is the same for the same number."""

import gzip
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from any_float import AWKWARD
from fakes.remote_write import compressed, label, varint
from fakes.remote_write import field as message

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
#: A request of remote_write holds at most so many bytes uncompressed.
BLOCK_BYTES = 32_000_000


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        statuses: that the service may answer with.
    """

    name: str
    method: str
    path: str
    body: bytes = b""
    kind: str = JSON
    encoding: str | None = None
    statuses: frozenset[int] = frozenset({200})


@dataclass(frozen=True)
class Known:
    """What the service knows, so that requests can name it."""

    series_ids: Sequence[int]
    now: datetime
    max_body_bytes: int


def snappy_bomb(size: int) -> bytes:
    """A valid block of snappy that declares `size` bytes and expands to them: copies of 64 bytes in 3 bytes each.

    References:
        https://github.com/google/snappy/blob/main/format_description.txt
    """
    literal = bytes([60 << 2, 64 - 1])
    copy = bytes([(64 - 1) << 2 | 2]) + struct.pack("<H", 64)
    copies, rest = divmod(size - 64, 64)
    tail = bytes([(rest - 1) << 2 | 2]) + struct.pack("<H", 64) if rest else b""
    return varint(size) + literal + bytes(64) + copy * copies + tail


def every_kind(known: Known) -> list[Callable[[int], Request]]:
    """A maker of requests for each kind; they get a number that varies what can vary."""

    def at(number: int, step_s: int = 60) -> str:
        return (known.now - timedelta(seconds=step_s * number)).isoformat()

    def value(number: int) -> float:
        return float(AWKWARD[number % len(AWKWARD)])

    def dump(body: object) -> bytes:
        return json.dumps(body).encode()

    def series(number: int) -> int:
        return known.series_ids[number % len(known.series_ids)]

    def points(number: int, count: int) -> list[dict[str, object]]:
        return [{"ts": at(n, 31), "value": value(number + n)} for n in range(count)]

    ok, refused, either = frozenset({200, 204}), frozenset({400}), frozenset({200, 204, 400, 409, 413})
    large = min(2_000, known.max_body_bytes // 80)

    def written(number: int, count: int) -> bytes:
        parts = []
        for n in range(count):
            labels = label("__name__", "pushed") + label("n", str(n))
            sample = b"\x09" + struct.pack("<d", value(number + n)) + b"\x10"
            parts.append(
                message(
                    1,
                    labels + message(2, sample + varint(round(known.now.timestamp() + number % 500) * 1_000)),
                )
            )
        return compressed(*parts)

    return [
        lambda n: Request("detect", "POST", "/detect", dump({"observations": [
            {"series_id": series(n), "ts": at(n % 1_000), "value": value(n)}]}), statuses=ok),
        lambda n: Request("detect many", "POST", "/detect", dump({"observations": [
            {"series_id": series(n)} | one for one in points(n, 100)]}), statuses=ok),
        lambda n: Request("detect batch", "POST", "/detect_batch", dump({"series": [
            {"series_id": series(n), "points": points(n, large)}]}), statuses=ok),
        lambda n: Request("forecast", "POST", "/forecast", dump(
            {"series_id": known.series_ids[-1], "horizon_s": 3_600 * (1 + n % 24)}), statuses=ok),
        lambda n: Request("failure", "POST", "/predict_failure", dump({"services": ["checkout"]}), statuses=ok),
        lambda n: Request("hypotheses", "POST", "/score_hypotheses", b'{"incident": ' + b'{"a":' * (n % 100)
            + b"0" + b"}" * (n % 100) + b"}", statuses=refused),
        lambda n: Request("signals", "GET", f"/signals?limit={1 + n % 100}"),
        lambda n: Request("metrics", "GET", "/metrics"),
        lambda n: Request("models", "GET", "/models"),
        lambda n: Request("deploys", "POST", "/webhooks/deploys", dump(
            {"service": "checkout", "at": at(n % 50), "title": "a\0b" * (n % 3)})),
        lambda n: Request("alerts", "POST", "/webhooks/alerts", dump({"alerts": [
            {"status": "firing", "labels": {"service": "checkout", "alertname": f"A{n % 20}"},
             "startsAt": at(n % 50)}]})),
        lambda n: Request("write", "POST", "/api/v1/write", written(n, 200), PROTOBUF, "snappy", either),
        lambda n: Request("broken", "POST", "/detect", b'{"observations": [{"value": ' + b"9" * (n % 5_000),
            statuses=refused),
        lambda n: Request("deep", "POST", "/detect_batch", b"[" * (50_000 + n % 100), statuses=refused),
        lambda n: Request("huge", "POST", "/webhooks/alerts", b" " * (known.max_body_bytes + 1 + n),
            statuses=frozenset({413})),
        lambda n: Request("many entries", "POST", "/webhooks/deploys", b"[" + b"0," * 60_000 + b"0]",
            statuses=frozenset({200, 400, 413})),
        lambda n: Request("gzip", "POST", "/detect", gzip.compress(bytes(1_000_000)), JSON, "gzip",
            frozenset({415})),
        lambda n: Request("snappy, 4 MB", "POST", "/api/v1/write", snappy_bomb(4_000_000), PROTOBUF, "snappy",
            refused),
        lambda n: Request("snappy, declared", "POST", "/api/v1/write", varint(500_000_000) + bytes(n % 100),
            PROTOBUF, "snappy", refused),
        lambda n: Request("no snappy", "POST", "/api/v1/write", b"\xff" * (n % 1_000), PROTOBUF, "snappy", refused),
        lambda n: Request("no path", "GET", f"/nothing/{n}", statuses=frozenset({404})),
    ]  # fmt: skip
