"""The mounted application: a full pool refuses at once, and the probes and the other pools go on."""

import asyncio
import threading
from typing import Any

import httpx
from fakes.serving import fake_context

from core.domain import Series
from core.settings import Settings
from serving.http.admission import Admission
from serving.http.web import web_app
from serving.state.api_keys import KeyCache
from serving.state.limits import BodyMemory, RateLimiter
from serving.state.runtime import Runtime
from serving.state.tenants import Tenants
from serving.state.work import Lane, WorkPool

SERIES = Series(tenant="acme", service="checkout", metric="latency")
KEY = {"X-API-Key": "key-of-acme"}


class Ring:
    def resolve(self, key: str) -> str | None:
        return "acme" if key == "key-of-acme" else None


def runtime_with_one_series() -> Runtime:
    context, _, _ = fake_context([SERIES])
    runtime = Runtime()
    runtime.settings = Settings(_env_file=None)
    runtime.keys = KeyCache(Ring())
    runtime.limiter = RateLimiter(1_000.0, lambda: 0.0)
    runtime.bodies = BodyMemory(100_000_000)
    runtime.tenants = Tenants(lambda tenant: context)
    return runtime


def client_of(runtime: Runtime) -> httpx.AsyncClient:
    app: Any = Admission(web_app(runtime), runtime)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web", headers=KEY)


def test_a_full_pool_refuses_at_once_and_the_rest_of_the_service_goes_on() -> None:
    runtime = runtime_with_one_series()
    runtime.pools[Lane.READS] = WorkPool("reads", threads=1, waiting=0)
    release = threading.Event()

    async def steps() -> tuple[httpx.Response, httpx.Response, httpx.Response, httpx.Response]:
        async with client_of(runtime) as client:
            blocked = asyncio.create_task(runtime.pools[Lane.READS].run(release.wait))
            await asyncio.sleep(0)
            refused, live, page = [await client.get(path) for path in ("/models", "/livez", "/docs")]
            release.set()
            await blocked
            return refused, live, page, await client.get("/models")

    refused, live, page, later = asyncio.run(steps())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "reads" in refused.json()["error"]
    assert (live.status_code, page.status_code, later.status_code) == (200, 200, 200)


def test_values_that_arrive_together_are_scored_together_and_a_wrong_request_fails_alone() -> None:
    runtime = runtime_with_one_series()
    good = {"series_id": SERIES.series_id, "ts": "2026-01-31T12:00:00Z", "value": 0.5}
    wrong = {"series_id": 7, "ts": "2026-01-31T12:00:00Z", "value": 0.5}

    async def steps() -> list[httpx.Response]:
        async with client_of(runtime) as client:
            bodies = [{"observations": [one]} for one in (good, wrong, good)]
            return await asyncio.gather(*(client.post("/detect", json=body) for body in bodies))

    answers = asyncio.run(steps())
    assert [answer.status_code for answer in answers] == [200, 404, 200]
    assert b"forewarn_points_scored_total 2.0" in runtime.metrics.text()
