"""The web application with signatures and admission, over a store in memory, and a client for its webhooks."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import httpx
from fakes.memory_store import MemoryStore, memory_platform

from core.clock import FixedClock
from core.service_names import ServiceRule
from core.settings import Settings
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.sidecars import Sidecars
from pipelines.sources.webhook_formats.webhook_format import WebhookFormat
from serving.http.admission import Admission
from serving.http.signatures import BodyDigests
from serving.http.web import web_app
from serving.state.api_keys import KeyCache
from serving.state.limits import BodyMemory, RateLimiter
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext, Tenants

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Ring:
    def resolve(self, key: str) -> str | None:
        return "t" if key == "key" else None


@dataclass(frozen=True)
class Context:
    platform: Platform
    services: ServiceRule
    mapped_formats: Sequence[WebhookFormat] = ()
    otlp: OtlpReceiver = field(default_factory=lambda: OtlpReceiver("t", ServiceRule()))

    def stored_sidecars(self) -> Sidecars:
        return Sidecars()


def runtime_with(settings: Mapping[str, Any]) -> Runtime:
    context = cast(TenantContext, Context(memory_platform(MemoryStore(), FixedClock(NOON)), ServiceRule()))
    runtime = Runtime()
    runtime.settings = Settings(_env_file=None, **settings)
    runtime.keys = KeyCache(Ring())
    runtime.limiter = RateLimiter(1_000.0, lambda: 0.0)
    runtime.bodies = BodyMemory(100_000_000)
    runtime.tenants = Tenants(lambda tenant: context)
    return runtime


def post(
    runtime: Runtime, path: str, body: object, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The response to a webhook; bytes are sent as they are."""
    app: Any = BodyDigests(Admission(web_app(runtime), runtime), runtime)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
            all_headers = {"X-API-Key": "key", "Content-Type": "application/json", **(headers or {})}
            return await client.post(f"/webhooks/{path}", content=content, headers=all_headers)

    return asyncio.run(run())
