"""Deploys, config changes and maintenance in Forewarn's own form. Argo CD and other tools can write it with a template.

    {"service": "checkout", "at": "2026-03-02T12:00:00Z", "version": "2.3.1", "kind": "deploy"}

A body is one such object, a list of them, or `{"events": [...]}`. OpenTelemetry's names `service.name` and
`service.version` are read as well.
"""

from pydantic import AliasChoices, BaseModel, Field

from core.domain import Event, EventKind
from core.ports import Batch
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _PlainEvent(BaseModel):
    service: Name = Field(validation_alias=AliasChoices("service", "service.name"))
    version: Text = Field("", validation_alias=AliasChoices("version", "service.version"))
    at: Time
    until: Time | None = None
    kind: EventKind = EventKind.DEPLOY
    title: Text = ""


def _matches(body: object) -> bool:
    return isinstance(body, dict | list)


def _parse(body: object, tenant: str) -> Batch:
    events, rejected = parse_entries(_entries(body), lambda entry: _event(entry, tenant))
    return Batch(events=events, rejected=rejected)


def _entries(body: object) -> list[object]:
    match body:
        case {"events": list(entries)}:
            return entries
        case list(entries):
            return entries
    return [body]


def _event(entry: object, tenant: str) -> Event:
    plain = _PlainEvent.model_validate(entry)
    return Event(tenant=tenant, **plain.model_dump())


PLAIN = WebhookFormat(
    name="plain",
    webhook=Webhook.DEPLOYS,
    expects="a JSON object with `service` and `at`, or a list of such objects",
    matches=_matches,
    parse=_parse,
)
