"""`/detect` over HTTP beside `mlflow models serve` with the same detector, on loopback, at 1 and at 16 clients.

What Forewarn does more for an answer: a key, a rate limit, strict validation, the day of stored values before
the point, and a choice of model by tenant. Clients share the machine's cores with the server they ask.
"""

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - after the path
from e2e.fleet import Fleet, served_fleet  # noqa: E402

from pipelines.processes.server_process import free_port, start_server  # noqa: E402

CLIENTS = (1, 16)
SECONDS = 8.0
WARM_UP = 50
#: SPEC, section 11: p50 under 50 ms and p99 under 200 ms.
PROMISED_MS = (50.0, 200.0)


@dataclass(frozen=True)
class Row:
    server: str
    clients: int
    requests: int
    p50_ms: float
    p99_ms: float
    per_s: float


@dataclass(frozen=True)
class Target:
    """One server to ask, and the body of the n-th request."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: list[bytes]


def main() -> list[Row]:
    """Measure both servers and print a table."""
    with served_fleet() as fleet, mlflow_server(fleet) as mlflow_port:
        targets = [forewarn_target(fleet), mlflow_target(fleet, mlflow_port)]
        rows = [measure(target, clients) for clients in CLIENTS for target in targets]
    print("| server | clients | requests | p50 ms | p99 ms | requests/s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.server} | {row.clients} | {row.requests} | {row.p50_ms:.1f} | {row.p99_ms:.1f} | {row.per_s:.0f} |"
        )
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        kept = ours.p50_ms < PROMISED_MS[0] and ours.p99_ms < PROMISED_MS[1]
        print(
            f"\n{ours.clients} clients: {ours.per_s / theirs.per_s:.1f} times the requests a second of MLflow, "
            f"p50 {theirs.p50_ms / ours.p50_ms:.1f} times and p99 {theirs.p99_ms / ours.p99_ms:.1f} times as quick; "
            f"the promise (p50 < 50 ms, p99 < 200 ms) is {'kept' if kept else 'NOT kept'}"
        )
    return rows


def forewarn_target(fleet: Fleet) -> Target:
    headers = {"Authorization": f"Bearer {fleet.keys['acme']}", "Content-Type": "application/json"}
    bodies = [json.dumps({"observations": [one]}).encode() for one in points(fleet)]
    return Target("forewarn", fleet.settings.serve_port, "/detect", headers, bodies)


def mlflow_target(fleet: Fleet, port: int) -> Target:
    bodies = [json.dumps({"dataframe_records": [one]}).encode() for one in points(fleet)]
    return Target("mlflow models serve", port, "/invocations", {"Content-Type": "application/json"}, bodies)


def points(fleet: Fleet) -> list[dict[str, Any]]:
    """One point each, of both series, at times of the last hours."""
    series = fleet.series["acme"]
    return [
        {
            "series_id": series[number % 2].series_id,
            "ts": (fleet.now - timedelta(seconds=37 * number)).isoformat(),
            "value": 0.2 + number / 1e6,
        }
        for number in range(500)
    ]


@contextmanager
def mlflow_server(fleet: Fleet) -> Iterator[int]:
    """`mlflow models serve` of the champion that the service answers with."""
    ref = fleet.tenancy.platform("acme").registry.resolve("detector")
    assert ref is not None
    port = free_port()
    store = f"sqlite:///{fleet.settings.mlruns_dir.resolve() / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{ref.name}/{ref.version}"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # MLflow starts its server by the name `uvicorn`, so this environment's programs must be found first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT), "PATH": path}
    server = start_server(
        "mlflow models serve",
        command,
        url=f"http://127.0.0.1:{port}",
        log=fleet.settings.data_dir / "logs" / "mlflow.log",
        env=environment,
    )
    with server:
        server.wait_until_ready("/ping")
        yield port


def measure(target: Target, clients: int) -> Row:
    """A closed loop: each client asks again as soon as it is answered."""
    ask(target, 0, requests=WARM_UP)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        until = began + SECONDS
        parts = list(pool.map(lambda number: ask(target, number * 31, until=until), range(clients)))
    seconds = time.perf_counter() - began
    latencies = np.array([one for part in parts for one in part])
    p50, p99 = np.percentile(latencies, [50, 99]) * 1_000
    return Row(target.name, clients, latencies.size, float(p50), float(p99), latencies.size / seconds)


def ask(target: Target, first: int, *, requests: int = 1_000_000, until: float = float("inf")) -> list[float]:
    """Seconds of each request; anything but 200 ends the benchmark."""
    latencies: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    connection.connect()
    # The standard library sends head and body apart; without this the kernel waits between them.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(first, first + requests):
        began = time.perf_counter()
        if began >= until:
            break
        connection.request("POST", target.path, target.bodies[number % len(target.bodies)], target.headers)
        answer = connection.getresponse()
        body = answer.read()
        latencies.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{target.name} answered {answer.status}: {body[:300]!r}")
    connection.close()
    return latencies


if __name__ == "__main__":
    main()
