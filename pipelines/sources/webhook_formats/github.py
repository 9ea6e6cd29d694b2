"""Deploys from GitHub: its `deployment` and `deployment_status` webhooks.

The service is what the payload of the deployment names, as labels do, else the name of the repository.

References:
    https://docs.github.com/en/webhooks/webhook-events-and-payloads#deployment_status
"""

from pydantic import BaseModel, JsonValue

from core.batch import Batch
from core.domain import Event, EventKind
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import Name, Text, name_problem
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Deployment(BaseModel):
    ref: Text
    created_at: Time
    environment: Text = ""
    payload: JsonValue = None


class _DeploymentStatus(BaseModel):
    state: str
    created_at: Time


class _Repository(BaseModel):
    name: Name


class _Hook(BaseModel):
    deployment: _Deployment
    deployment_status: _DeploymentStatus | None = None
    repository: _Repository


def _matches(body: object) -> bool:
    return isinstance(body, dict) and "deployment" in body and "repository" in body


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event | None:
    """The deploy, from the moment of its success; null for a deploy that is pending or has failed."""
    hook = _Hook.model_validate(entry)
    status = hook.deployment_status
    if status is not None and status.state != "success":
        return None
    payload = hook.deployment.payload if isinstance(hook.deployment.payload, dict) else {}
    labels = {key: value for key, value in payload.items() if isinstance(value, str)}
    service = services.service_of(labels) or hook.repository.name
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service that the payload of the deployment names {problem}")
    return Event(
        tenant=tenant,
        service=service,
        kind=EventKind.DEPLOY,
        at=status.created_at if status else hook.deployment.created_at,
        version=hook.deployment.ref,
        title=f"deploy to {hook.deployment.environment}" if hook.deployment.environment else "",
    )


GITHUB = WebhookFormat(
    name="github",
    webhook=Webhook.DEPLOYS,
    expects="a deployment or deployment_status of GitHub",
    matches=_matches,
    parse=_parse,
)
