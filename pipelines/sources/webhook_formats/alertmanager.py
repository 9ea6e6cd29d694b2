"""Incidents from the webhook of Alertmanager. A resolved alert ends its incident.

References:
    https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Incident
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.webhook_formats.entries import OptionalTime, Time, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Alert(BaseModel):
    status: str
    labels: dict[str, str]
    starts_at: Time = Field(validation_alias="startsAt")
    ends_at: OptionalTime = Field(None, validation_alias="endsAt")


def _matches(body: object) -> bool:
    return _alerts(body) is not None


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    incidents, rejected = parse_entries(_alerts(body) or [], lambda entry: _incident(entry, tenant, services))
    return Batch(incidents=incidents, rejected=rejected)


def _alerts(body: object) -> list[object] | None:
    match body:
        case {"alerts": list(entries)}:
            return entries
    return None


def _incident(entry: object, tenant: str, services: ServiceRule) -> Incident | None:
    """The incident; null for an alert of Forewarn itself, because a model must not learn from its own predictions."""
    alert = _Alert.model_validate(entry)
    name = alert.labels.get("alertname", "")
    if name.startswith("Forewarn") and "signal_id" in alert.labels:
        return None
    service = services.service_of(alert.labels)
    if service is None:
        raise InputError(f"alert {name!r} has none of the labels {', '.join(services.labels)}")
    problem = name_problem(service) or name_problem(name or "alert")
    if problem is not None:
        raise InputError(f"the service and the name of an alert {problem}")
    return Incident(
        tenant=tenant,
        service=service,
        type=name or "alert",
        severity=severity_of(alert.labels.get("severity", "")),
        start=alert.starts_at,
        end=alert.ends_at if alert.status == "resolved" else None,
    )


ALERTMANAGER = WebhookFormat(
    name="alertmanager",
    webhook=Webhook.ALERTS,
    expects="a JSON object with a list `alerts`, as Alertmanager sends it",
    matches=_matches,
    parse=_parse,
)
