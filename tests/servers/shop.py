"""A small web shop with real work and metrics, for tests: each order reads Redis and writes PostgreSQL.

It runs as a process of its own: `python shop.py PORT POSTGRES_DSN REDIS_URL [release]`. The second release is slow.
`POST /fault?errors=0.3&leak_kb=64` breaks it.
"""

import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg
import redis
from prometheus_client import REGISTRY, Counter, Histogram, generate_latest

LATENCY = Histogram(
    "http_request_duration_seconds", "Duration of requests.", ["handler", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
ORDERS = Counter("shop_orders_total", "Orders that were stored.")
#: What a request of the second release waits for.
SLOW_S = 0.3


class Faults:
    """What is wrong with this process: the share of failing requests, and the memory that each request loses."""

    errors = 0.0
    leak_kb = 0
    lost: list[bytes]


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults = Faults()
    release = 1

    def do_GET(self) -> None:
        if self.path == "/metrics":
            return self._answer(200, generate_latest(REGISTRY))
        began = time.monotonic()
        status = self._order()
        LATENCY.labels("/order", "GET", str(status)).observe(time.monotonic() - began)
        return self._answer(status, b"ordered\n" if status == 200 else b"broken\n")

    def do_POST(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.faults.errors = float(asked.get("errors", ["0"])[0])
        self.faults.leak_kb = int(asked.get("leak_kb", ["0"])[0])
        self._answer(200, b"")

    def log_message(self, *_: object) -> None:
        """Nobody reads its log."""

    def _order(self) -> int:
        if random.random() < self.faults.errors:
            return 500
        if self.faults.leak_kb:
            self.faults.lost.append(random.randbytes(1024 * self.faults.leak_kb))
        self.server.redis.incr("orders")  # type: ignore[attr-defined]
        self.server.redis.get(f"item:{random.randrange(100)}")  # type: ignore[attr-defined]
        with psycopg.connect(self.server.dsn) as connection:  # type: ignore[attr-defined]
            connection.execute("INSERT INTO orders (amount) VALUES (%s)", [random.random()])
        time.sleep(random.expovariate(200) + (SLOW_S if self.release > 1 else 0.0))
        ORDERS.inc()
        return 200

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port: str, dsn: str, redis_url: str, release: str = "1") -> None:
    Shop.faults.lost = []
    Shop.release = int(release)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, amount float8, at timestamptz DEFAULT now())"
        )
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Shop)
    server.dsn = dsn  # type: ignore[attr-defined]
    server.redis = redis.Redis.from_url(redis_url)  # type: ignore[attr-defined]
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
