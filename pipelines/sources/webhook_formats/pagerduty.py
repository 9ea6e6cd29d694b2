"""Incidents from PagerDuty's webhooks, version 3.

The service is that of the incident. A webhook that neither opens nor resolves an incident (acknowledged, annotated,
...) changes its severity at most, because each one contains the incident as it is now. An incident that Forewarn itself
has triggered is left out, because a model must not learn from its own predictions.

References:
    https://developer.pagerduty.com/docs/webhooks/v3-overview/
"""

from pydantic import BaseModel

from core.batch import Batch
from core.domain import Incident
from core.service_names import ServiceRule
from core.storable import Name
from pipelines.sources.webhook_formats.entries import OptionalTime, Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_RESOLVED = "incident.resolved"
#: `pipelines.sinks.pagerduty` triggers incidents under this name.
_OWN_CLIENT = "Forewarn"
#: Their data are a note, a conference bridge, ... and not the incident.
_INCIDENT = "incident"


class _Service(BaseModel):
    summary: Name


class _Incident(BaseModel):
    title: Title
    created_at: Time
    service: _Service
    urgency: str | None = None
    resolved_at: OptionalTime = None


class _Client(BaseModel):
    name: str | None = None


class _Event(BaseModel):
    event_type: str
    occurred_at: Time
    client: _Client | None = None


class _Data(BaseModel):
    type: str = ""


class _Hook(_Event):
    data: _Data


class _IncidentHook(_Event):
    data: _Incident


def _matches(body: object) -> bool:
    match body:
        case {"event": {"event_type": str(), "resource_type": str()}}:
            return True
    return False


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    event = body.get("event") if isinstance(body, dict) else None
    incidents, rejected = parse_entries([event], lambda entry: _incident(entry, tenant))
    return Batch(incidents=incidents, rejected=rejected)


def _incident(entry: object, tenant: str) -> Incident | None:
    """The incident; null for an event of something else, such as a service or a note, and for one of Forewarn."""
    kind = _Hook.model_validate(entry)
    if not kind.event_type.startswith("incident.") or kind.data.type != _INCIDENT:
        return None
    hook = _IncidentHook.model_validate(entry)
    if hook.client is not None and hook.client.name == _OWN_CLIENT:
        return None
    incident = hook.data
    is_resolved = hook.event_type == _RESOLVED
    return Incident(
        tenant=tenant,
        service=incident.service.summary,
        type=incident.title,
        severity=severity_of(incident.urgency or ""),
        start=incident.created_at,
        end=(incident.resolved_at or hook.occurred_at) if is_resolved else None,
    )


PAGERDUTY = WebhookFormat(
    name="pagerduty",
    webhook=Webhook.ALERTS,
    expects="a webhook of PagerDuty, version 3",
    matches=_matches,
    parse=_parse,
)
