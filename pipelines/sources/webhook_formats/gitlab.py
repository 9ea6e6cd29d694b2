"""Deploys from GitLab: its deployment events. The service is the name of the project.

References:
    https://docs.gitlab.com/user/project/integrations/webhook_events/#deployment-events
"""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from core.batch import Batch
from core.domain import Event, EventKind
from core.service_names import ServiceRule
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: GitLab writes `2021-04-28 21:50:00 +0200`, or UTC in place of the offset.
_OFFSET = re.compile(r" (?=[+-]\d{4}$)")


def _as_iso(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _OFFSET.sub("", value.removesuffix(" UTC") + "Z" if value.endswith(" UTC") else value)


class _Project(BaseModel):
    name: Name


class _Hook(BaseModel):
    status: str
    status_changed_at: Annotated[Time, BeforeValidator(_as_iso)]
    project: _Project
    environment: Text = ""
    ref: Text | None = None
    short_sha: Text | None = None


def _matches(body: object) -> bool:
    return isinstance(body, dict) and body.get("object_kind") == "deployment"


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str) -> Event | None:
    """The deploy, from the moment of its success; null for a deploy that runs or has failed."""
    hook = _Hook.model_validate(entry)
    if hook.status != "success":
        return None
    return Event(
        tenant=tenant,
        service=hook.project.name,
        kind=EventKind.DEPLOY,
        at=hook.status_changed_at,
        version=hook.short_sha or hook.ref or "",
        title=f"deploy to {hook.environment}"[:2_000] if hook.environment else "",
    )


GITLAB = WebhookFormat(
    name="gitlab",
    webhook=Webhook.DEPLOYS,
    expects="a deployment event of GitLab",
    matches=_matches,
    parse=_parse,
)
