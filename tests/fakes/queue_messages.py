"""Messages of each format for queues: message `n` has the value `n` of one gauge, `n` minutes after `T0`."""

import gzip
import json
from collections.abc import Callable

from fakes.otlp import gauge, number, request
from fakes.remote_write import T0, compressed, time_series

GARBAGE = b"\xff\xfe no message"


def of_json(n: int) -> bytes:
    fields = {"ts": T0.timestamp() + 60 * n, "service": "shop", "metric": "depth", "value": n}
    return json.dumps({**fields, "labels": {"queue": "mail"}}).encode()


def of_remote_write(n: int) -> bytes:
    labels: dict[str, str | bytes] = {"__name__": "depth", "service": "shop", "queue": "mail"}
    return compressed(time_series(labels, [(60 * n, float(n))]))


def of_otlp(n: int) -> bytes:
    body = request(gauge("depth", number(float(n), 60 * n, {"queue": "mail"}))).SerializeToString()
    return gzip.compress(body) if n % 2 else body


MESSAGES: dict[str, Callable[[int], bytes]] = {
    "json": of_json,
    "remote_write": of_remote_write,
    "otlp": of_otlp,
}
