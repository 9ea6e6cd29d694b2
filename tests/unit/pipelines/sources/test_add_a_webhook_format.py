"""Follows the recipe "Add a webhook format" of CONTRIBUTING: one file, and one line in `FORMATS`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import pytest
from fakes.memory_store import MemoryStore, memory_platform
from pydantic import BaseModel

from core.batch import Batch
from core.clock import FixedClock
from core.domain import Event, EventKind
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import Name
from pipelines.common.tenant_platform import Platform
from pipelines.sources.webhook_formats import registered
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat
from serving.contract.pushes import AlertsWebhook, DeploysWebhook
from serving.contract.responses import WebhookResponse
from serving.endpoints.intake import take_alerts, take_deploys
from serving.state.tenants import TenantContext

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class _Rollout(BaseModel):
    app: Name
    finished: Time


def _matches(body: object) -> bool:
    return isinstance(body, dict) and "rollouts" in body


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries(
        cast(dict[str, list[object]], body)["rollouts"], lambda entry: _event(entry, tenant)
    )
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str) -> Event:
    rollout = _Rollout.model_validate(entry)
    return Event(tenant=tenant, service=rollout.app, kind=EventKind.DEPLOY, at=rollout.finished)


SHIPIT = WebhookFormat(
    name="shipit",
    webhook=Webhook.DEPLOYS,
    expects="a JSON object with `rollouts`",
    matches=_matches,
    parse=_parse,
)


@dataclass(frozen=True)
class ContextWithAStore:
    platform: Platform
    services: ServiceRule
    mapped_formats: Sequence[WebhookFormat] = ()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def context(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> TenantContext:
    monkeypatch.setattr(registered, "FORMATS", (SHIPIT, *registered.FORMATS))  # the line of the recipe
    return cast(TenantContext, ContextWithAStore(memory_platform(store, FixedClock(NOON)), ServiceRule()))


def test_the_endpoint_stores_what_a_registered_format_parses(
    context: TenantContext, store: MemoryStore
) -> None:
    body = {"rollouts": [{"app": "checkout", "finished": "2026-03-02T12:00:00Z"}, {"app": "cart"}]}
    answer = take_deploys(context, DeploysWebhook(root=body))
    assert answer == WebhookResponse(events=1, incidents=0, rejected=1)
    (event,) = store.events.between(NOON, NOON.replace(hour=13))
    assert (event.service, event.kind, event.at) == ("checkout", EventKind.DEPLOY, NOON)
    ((source, row, reason),) = store.dead_letters.rows
    assert (source, row) == ("webhook:deploys", '{"app": "cart"}')
    assert reason.startswith("finished: ")


def test_the_other_formats_of_the_endpoint_are_still_read(context: TenantContext) -> None:
    plain = {"service": "checkout", "at": "2026-03-02T12:00:00Z"}
    assert take_deploys(context, DeploysWebhook(root=plain)).events == 1


def test_a_format_is_read_only_at_its_own_endpoint(context: TenantContext) -> None:
    with pytest.raises(InputError, match="must be"):
        take_alerts(context, AlertsWebhook(root={"rollouts": []}))


def test_the_error_lists_what_the_endpoint_expects(context: TenantContext) -> None:
    with pytest.raises(InputError, match="a JSON object with `rollouts`, or a deployment"):
        take_deploys(context, DeploysWebhook(root=7))
