"""The recipe "add an endpoint" of CONTRIBUTING, followed with a toy endpoint."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fakes.serving import fake_context

from core.domain import Series
from core.settings import Settings
from core.storable import Name
from serving.contract.requests import Request
from serving.endpoints.route import Route, for_tenant
from serving.http.admission import Admission
from serving.http.openapi import openapi
from serving.http.routes import ROUTES
from serving.http.web import web_app
from serving.state.api_keys import KeyCache
from serving.state.limits import BodyMemory, RateLimiter
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext, Tenants

# Steps 1 and 2: the file of the endpoint, with its request, its response, its handler and its route.


class CountSeriesRequest(Request):
    """How many series a service has."""

    service: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSeriesResponse:
    tenant: str
    count: int


def count_series(context: TenantContext, request: CountSeriesRequest) -> CountSeriesResponse:
    found = context.platform.store.series.find(service=request.service)
    return CountSeriesResponse(tenant=context.platform.tenant, count=len(found))


TOY = Route(
    method="POST",
    path="/count_series",
    summary="Count the series of a service.",
    handler=for_tenant(count_series),
    request=CountSeriesRequest,
    response=CountSeriesResponse,
)

# Step 3: one line in the list of routes.
WITH_TOY = (*ROUTES, TOY)


class Ring:
    def resolve(self, key: str) -> str | None:
        return "acme" if key == "key-of-acme" else None


def post(path: str, *, key: str | None = "key-of-acme", body: Any = None) -> httpx.Response:
    series = [Series(tenant="acme", service="checkout", metric=metric) for metric in ("latency", "errors")]
    context, _, _ = fake_context(series)
    runtime = Runtime()
    runtime.settings = Settings()
    runtime.keys = KeyCache(Ring())
    runtime.limiter = RateLimiter(1_000.0, lambda: 0.0)
    runtime.bodies = BodyMemory(100_000_000)
    runtime.tenants = Tenants(lambda tenant: context)

    async def ask() -> httpx.Response:
        app: Any = Admission(web_app(runtime, WITH_TOY), runtime, WITH_TOY)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://toy",
            headers={"X-API-Key": key} if key else {},
        ) as client:
            return await client.post(path, json=body)

    return asyncio.run(ask())


def test_a_registered_endpoint_responds() -> None:
    response = post("/count_series", body={"service": "checkout"})
    assert (response.status_code, response.json()) == (200, {"tenant": "acme", "count": 2})


@pytest.mark.parametrize("key", [None, "wrong"])
def test_it_needs_a_key(key: str | None) -> None:
    assert post("/count_series", key=key, body={"service": "checkout"}).status_code == 401


def test_its_input_is_checked() -> None:
    response = post("/count_series", body={"service": 1})
    assert response.status_code == 400
    assert response.json() == {"error": "service: should be a valid string"}


def test_it_is_in_the_api_docs() -> None:
    document = openapi(WITH_TOY)
    operation = document["paths"]["/count_series"]["post"]
    assert operation["summary"] == "Count the series of a service."
    assert operation["security"]
    assert {"CountSeriesRequest", "CountSeriesResponse"} <= set(document["components"]["schemas"])
