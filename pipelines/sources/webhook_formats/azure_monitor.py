"""Incidents from Azure Monitor, in its common alert schema.

The service is what the custom properties name (`service`), else the resource of the alert.

References:
    https://learn.microsoft.com/en-us/azure/azure-monitor/alerts/alerts-common-schema
"""

from pydantic import BaseModel, Field, JsonValue

from core.batch import Batch
from core.domain import Incident
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.webhook_formats.entries import OptionalTime, Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Essentials(BaseModel):
    rule: Title = Field(validation_alias="alertRule")
    severity: str = ""
    condition: str = Field(validation_alias="monitorCondition")
    targets: list[str] | None = Field(None, validation_alias="alertTargetIDs")
    items: list[str] | None = Field(None, validation_alias="configurationItems")
    fired_at: Time = Field(validation_alias="firedDateTime")
    resolved_at: OptionalTime = Field(None, validation_alias="resolvedDateTime")


class _Data(BaseModel):
    essentials: _Essentials
    properties: dict[str, JsonValue] | None = Field(None, validation_alias="customProperties")


class _Hook(BaseModel):
    data: _Data


def _matches(body: object) -> bool:
    return isinstance(body, dict) and body.get("schemaId") == "azureMonitorCommonAlertSchema"


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    incidents, rejected = parse_entries([body], lambda entry: _incident(entry, tenant, services))
    return Batch(incidents=incidents, rejected=rejected)


def _incident(entry: object, tenant: str, services: ServiceRule) -> Incident:
    data = _Hook.model_validate(entry).data
    alert = data.essentials
    is_resolved = alert.condition == "Resolved"
    if is_resolved and alert.resolved_at is None:
        raise InputError("resolvedDateTime: the resolved alert does not contain when it was resolved")
    properties = {name: value for name, value in (data.properties or {}).items() if isinstance(value, str)}
    service = services.service_of(properties) or _resource(alert)
    if service is None:
        raise InputError(f"alert {alert.rule[:100]!r} has neither a custom property service nor a resource")
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service of an alert {problem}")
    return Incident(
        tenant=tenant,
        service=service,
        type=alert.rule,
        severity=severity_of(alert.severity),
        start=alert.fired_at,
        end=alert.resolved_at if is_resolved else None,
    )


def _resource(alert: _Essentials) -> str | None:
    """The name of the first resource of the alert; a resource id ends with it."""
    named = [*(one.rstrip("/").rpartition("/")[2] for one in alert.targets or ()), *(alert.items or ())]
    return next((one.strip() for one in named if one.strip()), None)


AZURE_MONITOR = WebhookFormat(
    name="azure_monitor",
    webhook=Webhook.ALERTS,
    expects="an alert of Azure Monitor in the common alert schema",
    matches=_matches,
    parse=_parse,
)
