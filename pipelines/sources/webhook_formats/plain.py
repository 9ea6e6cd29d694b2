"""Deploys, config changes and maintenance in Forewarn's own form. Argo CD and other tools can write it with a template.

    {"service": "checkout", "at": "2026-03-02T12:00:00Z", "version": "2.3.1", "kind": "deploy"}

A body is one such object, a list of them, or `{"events": [...]}`. Each label that may name a service is read
(`core.service_names`), such as OpenTelemetry's `service.name`, and so is `service.version`.
"""

from collections.abc import Mapping

from pydantic import AliasChoices, BaseModel, Field

from core.batch import Batch
from core.domain import Event, EventKind
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _PlainEvent(BaseModel):
    service: Name
    version: Text = Field("", validation_alias=AliasChoices("version", "service.version"))
    at: Time
    until: Time | None = None
    kind: EventKind = EventKind.DEPLOY
    title: Text = ""


def _matches(body: object) -> bool:
    return isinstance(body, dict | list)


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries(_entries(body), lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _entries(body: object) -> list[object]:
    match body:
        case {"events": list(entries)}:
            return entries
        case list(entries):
            return entries
    return [body]


def _event(entry: object, tenant: str, services: ServiceRule) -> Event:
    if not isinstance(entry, Mapping):
        raise InputError("an event must be a JSON object")
    named = services.service_of({key: value for key, value in entry.items() if isinstance(value, str)})
    if named is None:
        raise InputError(f"service: the event has none of the fields {', '.join(services.labels)}")
    plain = _PlainEvent.model_validate({**entry, "service": named})
    return Event(tenant=tenant, **plain.model_dump())


PLAIN = WebhookFormat(
    name="plain",
    webhook=Webhook.DEPLOYS,
    expects="a JSON object with `service` and `at`, or a list of such objects",
    matches=_matches,
    parse=_parse,
)
