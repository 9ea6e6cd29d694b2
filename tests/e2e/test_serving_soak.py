"""Requests of every kind, many and at once: no failure of the service, and its memory stays."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from e2e.fleet import Fleet
from e2e.soak_sizes import MEMORY_GROWTH, REQUESTS, SOAK_REQUESTS, WARM_REQUESTS
from servers.requests import Known, Request, every_kind

CLIENTS = 8


def resident_bytes(pid: int) -> int:
    """Of a process and its children."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += 1_024 * int(line.split()[1])
        tasks = Path(f"/proc/{one}/task").glob("*/children")
        waiting += [int(child) for task in tasks for child in task.read_text().split()]
    return total


def send(client: httpx.Client, request: Request) -> int:
    headers = {"Content-Type": request.kind} if request.body else {}
    if request.encoding is not None:
        headers["Content-Encoding"] = request.encoding
    response = client.request(request.method, request.path, content=request.body, headers=headers)
    busy = response.status_code in {429, 503} and response.headers.get("Retry-After", "").isdigit()
    assert busy or response.status_code in request.statuses, (
        f"{request.name}: {response.status_code} {response.text[:300]}"
    )
    return response.status_code


def send_all(fleet: Fleet, count: int, first: int = 0) -> Counter[int]:
    """Requests of all kinds in turn, by several clients at once."""
    kinds = every_kind(
        Known([one.series_id for one in fleet.series["acme"]], fleet.now, fleet.settings.max_body_bytes)
    )

    def run(part: int) -> Counter[int]:
        with fleet.client() as client:
            numbers = range(first + part, first + count, CLIENTS)
            return Counter(
                send(client, kinds[(number // CLIENTS + part) % len(kinds)](number // len(kinds)))
                for number in numbers
            )

    with ThreadPoolExecutor(CLIENTS) as threads:
        return sum(threads.map(run, range(CLIENTS)), Counter())


def check(fleet: Fleet, count: int) -> str:
    pid = fleet.service.process.pid
    send_all(fleet, WARM_REQUESTS)
    before = resident_bytes(pid)
    began = time.monotonic()
    statuses = send_all(fleet, count, WARM_REQUESTS)
    after = resident_bytes(pid)
    assert httpx.get(f"{fleet.url}/readyz", trust_env=False).status_code == 200
    assert fleet.service.running
    report = (
        f"{count} requests in {time.monotonic() - began:.0f} s: {dict(statuses)};"
        f" resident {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after"
    )
    assert after <= before * (1 + MEMORY_GROWTH), report
    return report


def test_requests_of_every_kind_are_answered_and_memory_stays(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check(fleet, REQUESTS)
    with capsys.disabled():
        print(f"\n{report}")


@pytest.mark.soak
def test_a_hundred_thousand_requests_of_every_kind_are_answered_and_memory_stays(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check(fleet, SOAK_REQUESTS)
    with capsys.disabled():
        print(f"\n{report}")
