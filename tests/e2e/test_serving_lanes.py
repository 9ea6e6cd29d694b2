"""While metrics, logs and warnings flood the service, critical alerts do not wait for them."""

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e.fleet import Fleet
from e2e.soak_sizes import FLOOD_S, SOAK_FLOOD_S
from fakes.loki import json_push
from servers.lane_load import JSON, SNAPPY, flood
from servers.load import Address, Client, Shard, Tally, percentile_ms, post, running

from pipelines.operate.status_of_intake import intake
from serving.state.runtime import COUNTS_EVERY_S

#: Clients of each flood: more than its lane has threads, so that requests always wait.
CLIENTS = 20
#: Alerts come one after the other, with this pause.
PAUSE_S = 0.05


def alert(number: int, severity: str) -> bytes:
    at = datetime.now(UTC) - timedelta(seconds=number)
    labels = {"alertname": f"down {number}", "service": "checkout", "severity": severity}
    one = {"labels": labels, "status": "firing", "startsAt": at.isoformat()}
    return json.dumps({"version": "4", "alerts": [one]}).encode()


def send_alerts(address: Address, seconds: float) -> Tally:
    """Critical alerts, one after the other; a client that is refused counts that as wrong."""
    tally, client = Tally(), Client(address)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        request = post(address, "/webhooks/alerts", alert(len(tally.seconds), "critical"), JSON)
        asked = time.monotonic()
        status, _, body = client.ask(request)
        tally.seconds.append(time.monotonic() - asked)
        if status != 200:
            tally.wrong.append(f"{status} {body[:300]!r}")
        time.sleep(PAUSE_S)
    client.close()
    return tally


def bodies_of_logs() -> list[bytes]:
    now_ns = time.time_ns()
    pushes: list[bytes] = []
    for request in range(200):
        lines: list[tuple[int, str, dict[str, str]]] = [
            (now_ns - one, f"request {request} took {one} ms", {}) for one in range(500)
        ]
        pushes.append(json_push([({"service": "shop"}, lines)]))
    return pushes


def flooded(fleet: Fleet, tenant: str, seconds: float) -> tuple[Tally, dict[str, Tally]]:
    """Critical alerts, and the floods meanwhile, all of one tenant."""
    key = fleet.tenancy.keys.create(tenant)
    address = Address(fleet.settings.serve_port, key)
    shard = Shard(0, round(1_000 * (time.time() - 7_200)))
    floods: dict[str, tuple[str, list[bytes], str]] = {
        "metrics": ("/api/v1/write", [shard.body(number) for number in range(8)], SNAPPY),
        "background": ("/loki/api/v1/push", bodies_of_logs(), JSON),
        "warnings": ("/webhooks/alerts", [alert(number, "warning") for number in range(2_000)], JSON),
    }
    send_alerts(address, 0.5)  # its context is open then
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running(flood, address, *what, CLIENTS, seconds + 2.0))
            for name, what in floods.items()
        }
        time.sleep(2.0)
        alerts = send_alerts(address, seconds - 2.0)
        return alerts, {name: result() for name, result in started.items()}


def check(alerts: Tally, floods: dict[str, Tally]) -> None:
    tallies: dict[str, Tally] = {"critical alerts": alerts, **floods}
    for name, tally in tallies.items():
        print(
            f"\n{name}: {len(tally.seconds)} stored, p50 {percentile_ms(tally.seconds, 0.5):.0f} ms,"
            f" p99 {percentile_ms(tally.seconds, 0.99):.0f} ms {dict(tally.statuses)}"
        )
    assert [one.wrong for one in tallies.values() if one.wrong] == []
    # Each lane that is flooded makes its own senders wait, and not those of critical alerts.
    slowest = max(percentile_ms(one.seconds, 0.5) for one in floods.values())
    assert percentile_ms(alerts.seconds, 0.5) < slowest / 3
    assert max(alerts.seconds) < 5.0


def metric(fleet: Fleet, name: str, **labels: str) -> float:
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    with fleet.client() as client:
        lines: list[Any] = client.get("/metrics").text.splitlines()
    return sum(
        float(one.rpartition(" ")[2])
        for one in lines
        if one.startswith(name) and all(part in one for part in wanted)
    )


@pytest.mark.timeout(120)
def test_critical_alerts_do_not_wait_while_other_lanes_are_flooded(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        alerts, floods = flooded(fleet, "flooded", FLOOD_S)
        check(alerts, floods)
    ended = time.monotonic()
    stored = metric(fleet, "forewarn_intake_items_total", source="webhook:alerts", lane="alerts")
    assert stored >= len(alerts.seconds)
    assert metric(fleet, "forewarn_intake_items_total", source="remote_write", outcome="duplicate") > 0
    assert metric(fleet, "forewarn_intake_depth") == 0
    # Counts are stored at this interval, and all requests have ended.
    time.sleep(max(0.0, COUNTS_EVERY_S + 1.0 - (time.monotonic() - ended)))
    states = {part.name: part.state for part in intake(fleet.tenancy.platform("flooded"))}
    assert f"{len(floods['warnings'].seconds)} requests" in states["intake warnings (P1) of webhook:alerts"]
    assert list(states) == [
        "intake alerts (P0) of webhook:alerts",
        "intake warnings (P1) of webhook:alerts",
        "intake metrics (P2) of remote_write",
        "intake background (P3) of loki",
    ]


@pytest.mark.soak
def test_critical_alerts_do_not_wait_during_a_long_flood(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        check(*flooded(fleet, "long_flooded", SOAK_FLOOD_S))
