"""Priority lanes: a flood in one lane neither delays nor refuses what another lane takes."""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from fakes.web import runtime_with

from core.intake import PriorityLane
from serving.contract.pushes import AlertsWebhook
from serving.endpoints.alert_lane import alert_lane
from serving.http.admission import Admission
from serving.http.routes import ROUTES
from serving.http.web import web_app
from serving.state.limits import BodyMemory, RateLimiter, bodies_by_lane
from serving.state.runtime import CONNECTIONS, Runtime
from serving.state.work import Lane, WorkPool

ALERT = {"labels": {"alertname": "down", "service": "checkout", "severity": "critical"}, "status": "firing",
         "startsAt": "2026-01-31T11:00:00Z"}  # fmt: skip
ALERTS = {"version": "4", "alerts": [ALERT]}
WARNINGS = {"version": "4", "alerts": [{**ALERT, "labels": {**ALERT["labels"], "severity": "warning"}}]}  # type: ignore[dict-item]
DEPLOY = {"service": "checkout", "at": "2026-01-31T11:00:00Z", "version": "2", "kind": "deploy"}
EVENT = {"events": [{"service": "checkout", "kind": "deploy", "at": "2026-01-31T11:00:00Z"}]}
#: One request for each lane.
REQUESTS: dict[PriorityLane, tuple[str, Any]] = {
    PriorityLane.ALERTS: ("/webhooks/alerts", ALERTS),
    PriorityLane.WARNINGS: ("/webhooks/alerts", WARNINGS),
    PriorityLane.METRICS: ("/v1/metrics", {"resourceMetrics": []}),
    PriorityLane.BACKGROUND: ("/loki/api/v1/push", {"streams": []}),
}

Steps = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


def asking(runtime: Runtime, steps: Steps) -> Any:
    async def run() -> Any:
        app: Any = Admission(web_app(runtime), runtime)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://web", headers={"X-API-Key": "key"}
        ) as client:
            return await steps(client)

    return asyncio.run(run())


def values(runtime: Runtime, name: str, **labels: str) -> list[float]:
    """The values of a metric with these labels."""
    lines = [one for one in runtime.metrics.text().decode().splitlines() if re.match(rf"{name}\b", one)]
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return [float(one.rpartition(" ")[2]) for one in lines if all(part in one for part in wanted)]


@pytest.mark.parametrize("flooded", PriorityLane)
def test_a_lane_whose_threads_and_queue_are_full_refuses_and_the_others_answer(flooded: PriorityLane) -> None:
    runtime = runtime_with({})
    runtime.pools[flooded] = WorkPool(str(flooded), threads=1, waiting=0)
    release = threading.Event()

    async def steps(client: httpx.AsyncClient) -> dict[PriorityLane, httpx.Response]:
        blocked = asyncio.create_task(runtime.pools[flooded].run(release.wait))
        await asyncio.sleep(0)
        found = {lane: await client.post(path, json=body) for lane, (path, body) in REQUESTS.items()}
        release.set()
        await blocked
        return found

    answers = asking(runtime, steps)
    refused = {lane: one for lane, one in answers.items() if one.status_code == 503}
    assert list(refused) == [flooded]
    assert refused[flooded].headers["Retry-After"]
    assert str(flooded) in refused[flooded].text
    assert values(runtime, "forewarn_intake_errors_total", lane=flooded, reason="busy") == [1.0]


def test_the_rate_of_one_lane_is_not_used_up_by_another() -> None:
    runtime = runtime_with({})
    runtime.limiter = RateLimiter(1.0, lambda: 0.0)

    async def steps(client: httpx.AsyncClient) -> list[int]:
        statuses = [(await client.post("/events", json=EVENT)).status_code for _ in range(3)]
        return [*statuses, (await client.post("/webhooks/alerts", json=ALERTS)).status_code]

    assert asking(runtime, steps) == [200, 200, 429, 200]
    assert values(runtime, "forewarn_intake_errors_total", source="events", reason="rate") == [1.0]


def test_bodies_of_metrics_do_not_take_the_memory_of_other_lanes() -> None:
    runtime = runtime_with({})
    runtime.bodies = BodyMemory(1)
    runtime.lane_bodies = bodies_by_lane(1_000_000)

    async def steps(client: httpx.AsyncClient) -> list[int]:
        requests = [*REQUESTS.values(), ("/webhooks/deploys", DEPLOY)]
        return [(await client.post(path, json=body)).status_code for path, body in requests]

    alerts, warnings, metrics, background, deploys = asking(runtime, steps)
    assert (alerts, warnings, metrics, deploys) == (200, 200, 503, 200)
    assert background != 503


def test_large_bodies_of_alerts_do_not_wait_for_those_of_other_requests() -> None:
    runtime = runtime_with({})
    large = {**ALERTS, "padding": " " * 20_000}
    release = threading.Event()

    async def steps(client: httpx.AsyncClient) -> httpx.Response:
        others = (runtime.parsing(Lane.MODELS), runtime.parsing(PriorityLane.WARNINGS))
        blocked = [asyncio.create_task(pool.run(release.wait)) for pool in others]
        await asyncio.sleep(0)
        answer = await client.post("/webhooks/alerts", json=large)
        release.set()
        await asyncio.gather(*blocked)
        return answer

    assert asking(runtime, steps).status_code == 200


def test_all_threads_that_ask_the_database_can_have_a_connection_at_once() -> None:
    lookups, probes, models_and_counts = 2, 1, 2
    threads = sum(pool.threads for pool in Runtime().pools.values())
    assert threads + lookups + probes + models_and_counts <= CONNECTIONS


@pytest.mark.parametrize(
    ("body", "lane"),
    [
        (ALERTS, PriorityLane.ALERTS),
        (WARNINGS, PriorityLane.WARNINGS),
        ({"alerts": [*ALERTS["alerts"], *WARNINGS["alerts"]]}, PriorityLane.ALERTS),
        ({"event": {"data": {"urgency": "low", "title": "slow"}}}, PriorityLane.WARNINGS),
        ({"alert": {"priority": "P1"}}, PriorityLane.ALERTS),
        ({"message_type": "WARNING"}, PriorityLane.WARNINGS),
        ({"AlarmName": "no word about how severe it is"}, PriorityLane.ALERTS),
        ([], PriorityLane.ALERTS),
    ],
)
def test_only_alerts_that_are_all_called_less_than_critical_are_warnings(
    body: Any, lane: PriorityLane
) -> None:
    assert alert_lane(AlertsWebhook(root=body)) is lane


def test_each_source_counts_its_items_and_what_came_twice() -> None:
    runtime = runtime_with({})

    async def steps(client: httpx.AsyncClient) -> list[int]:
        calls = [("/events", EVENT), ("/webhooks/alerts", ALERTS), ("/webhooks/deploys", DEPLOY)]
        return [(await client.post(path, json=body)).status_code for path, body in calls for _ in range(2)]

    assert set(asking(runtime, steps)) == {200}
    for source in ("events", "webhook:alerts", "webhook:deploys"):
        for outcome in ("new", "duplicate"):
            assert values(runtime, "forewarn_intake_items_total", source=source, outcome=outcome) == [1.0]
        assert values(runtime, "forewarn_intake_depth", source=source) == [0.0]
        assert values(runtime, "forewarn_intake_duration_seconds_count", source=source) == [2.0]


def test_wrong_requests_are_counted_by_the_class_of_the_reason() -> None:
    runtime = runtime_with({})

    async def steps(client: httpx.AsyncClient) -> list[int]:
        answers = [
            await client.post("/webhooks/alerts", json=7),
            await client.post("/webhooks/alerts", content=b"{", headers={"Content-Type": "text/plain"}),
            await client.post("/webhooks/alerts", json=ALERTS, headers={"X-API-Key": "wrong"}),
            await client.post("/webhooks/alerts", content=b" " * 1_000_001),
        ]
        return [one.status_code for one in answers]

    assert asking(runtime, steps) == [400, 415, 401, 413]
    assert values(runtime, "forewarn_intake_depth") == [0.0]
    for reason in ("invalid", "wrong_type", "no_valid_key", "too_large"):
        found = values(runtime, "forewarn_intake_errors_total", source="webhook:alerts", reason=reason)
        assert found == [1.0]


def test_every_route_that_takes_input_has_a_priority_lane_and_a_source_of_its_own() -> None:
    sources = [route.source for route in ROUTES if route.source]
    assert len(sources) == len(set(sources)) == 8
    assert all(isinstance(route.lane, PriorityLane) for route in ROUTES if route.source)
