"""Incidents from the outgoing webhooks of Splunk On-Call (formerly VictorOps).

The payload contains variables under their names: `STATE.SERVICE`, `STATE.HOST`, `STATE.CURRENT_ALERT_PHASE`,
`STATE.CURRENT_STATE`, `STATE.INCIDENT_TIMESTAMP`, `STATE.LAST_TIMESTAMP` (and `STATE.RESOLVED_AT`, if it is there),
`ALERT.entity_display_name`. Times are in milliseconds. The service is the service of the state, else its host.

References:
    https://help.victorops.com/knowledge-base/custom-outbound-webhooks/
"""

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Incident
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.webhook_formats.entries import OptionalTime, Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_PHASE = "STATE.CURRENT_ALERT_PHASE"


class _Hook(BaseModel):
    phase: str = Field(validation_alias=_PHASE)
    started_at: Time = Field(validation_alias="STATE.INCIDENT_TIMESTAMP")
    last_at: OptionalTime = Field(None, validation_alias="STATE.LAST_TIMESTAMP")
    resolved_at: OptionalTime = Field(None, validation_alias="STATE.RESOLVED_AT")
    service: str | None = Field(None, validation_alias="STATE.SERVICE")
    host: str | None = Field(None, validation_alias="STATE.HOST")
    state: str | None = Field(None, validation_alias="STATE.CURRENT_STATE")
    entity: str | None = Field(None, validation_alias="STATE.ENTITY_ID")
    title: Title | None = Field(None, validation_alias="ALERT.entity_display_name")


def _matches(body: object) -> bool:
    return isinstance(body, dict) and _PHASE in body


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    incidents, rejected = parse_entries([body], lambda entry: _incident(entry, tenant))
    return Batch(incidents=incidents, rejected=rejected)


def _incident(entry: object, tenant: str) -> Incident:
    hook = _Hook.model_validate(entry)
    service = (hook.service or "").strip() or (hook.host or "").strip()
    if not service:
        raise InputError("STATE.SERVICE and STATE.HOST are empty: the incident names no service")
    kind = hook.title or (hook.entity or "").strip() or "incident"
    problem = name_problem(service) or name_problem(kind)
    if problem is not None:
        raise InputError(f"the service and the name of an incident {problem}")
    is_resolved = hook.phase.strip().upper() == "RESOLVED"
    end = hook.resolved_at or hook.last_at
    if is_resolved and end is None:
        raise InputError("STATE.LAST_TIMESTAMP: the resolved incident does not contain when it was resolved")
    return Incident(
        tenant=tenant,
        service=service,
        type=kind,
        severity=severity_of(hook.state or ""),
        start=hook.started_at,
        end=end if is_resolved else None,
    )


SPLUNK_ON_CALL = WebhookFormat(
    name="splunk_on_call",
    webhook=Webhook.ALERTS,
    expects="a webhook of Splunk On-Call with `STATE.CURRENT_ALERT_PHASE`",
    matches=_matches,
    parse=_parse,
)
