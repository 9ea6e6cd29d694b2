"""Deploys from GitHub: its `deployment` and `deployment_status` webhooks.

References:
    https://docs.github.com/en/webhooks/webhook-events-and-payloads#deployment_status
"""

from pydantic import BaseModel

from core.domain import Event, EventKind
from core.ports import Batch
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Deployment(BaseModel):
    ref: Text
    created_at: Time
    environment: Text = ""


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


def _parse(body: object, tenant: str) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str) -> Event | None:
    """The deploy, from the moment of its success; null for a deploy that is pending or has failed."""
    hook = _Hook.model_validate(entry)
    status = hook.deployment_status
    if status is not None and status.state != "success":
        return None
    return Event(
        tenant=tenant,
        service=hook.repository.name,
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
