"""Incidents from Opsgenie's outgoing webhook.

The service is what a tag such as `service:checkout` names, else the entity of the alert. Details are not used: Opsgenie
sends them only when an alert is created.

References:
    https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from core.batch import Batch
from core.domain import Incident
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.tags import labels_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_ENDS = frozenset({"Close", "Delete"})
#: Opsgenie sends `createdAt` in milliseconds and `updatedAt` in nanoseconds. Later than the year 5138 in milliseconds.
_NANOSECONDS = 10**17


def _seconds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= _NANOSECONDS:
        return value / 1e9
    return value


_Epoch = Annotated[Time, BeforeValidator(_seconds)]


class _Alert(BaseModel):
    message: Title
    created_at: _Epoch = Field(validation_alias="createdAt")
    updated_at: _Epoch | None = Field(None, validation_alias="updatedAt")
    tags: list[str] = []
    entity: str | None = None
    priority: str | None = None


class _Hook(BaseModel):
    action: str
    alert: _Alert


def _matches(body: object) -> bool:
    match body:
        case {"action": str(), "alert": {"alertId": _}}:
            return True
    return False


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    incidents, rejected = parse_entries([body], lambda entry: _incident(entry, tenant, services))
    return Batch(incidents=incidents, rejected=rejected)


def _incident(entry: object, tenant: str, services: ServiceRule) -> Incident:
    hook = _Hook.model_validate(entry)
    alert = hook.alert
    service = services.service_of(labels_of(alert.tags)) or (alert.entity or "").strip()
    if not service:
        raise InputError("the alert has neither a tag such as service:checkout nor an entity")
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service of an alert {problem}")
    end = None
    if hook.action in _ENDS:
        if alert.updated_at is None:
            raise InputError("updatedAt: the closed alert does not contain when it was closed")
        end = alert.updated_at
    return Incident(
        tenant=tenant,
        service=service,
        type=alert.message,
        severity=severity_of(alert.priority or ""),
        start=alert.created_at,
        end=end,
    )


OPSGENIE = WebhookFormat(
    name="opsgenie",
    webhook=Webhook.ALERTS,
    expects="a webhook of Opsgenie with `action` and `alert`",
    matches=_matches,
    parse=_parse,
)
