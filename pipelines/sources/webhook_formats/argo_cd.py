"""Deploys from Argo CD notifications, with the template `{{toJson .app}}` as body.

The service is what the labels of the application name, else the application. A sync that succeeded is a deploy.

References:
    https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
"""

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Event, EventKind
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import Name, Text, name_problem
from pipelines.sources.webhook_formats.entries import OptionalTime, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Metadata(BaseModel):
    name: Name
    labels: dict[str, str] | None = None


class _SyncResult(BaseModel):
    revision: Text | None = None
    revisions: list[Text] | None = None


class _Operation(BaseModel):
    phase: str
    finished_at: OptionalTime = Field(None, validation_alias="finishedAt")
    result: _SyncResult | None = Field(None, validation_alias="syncResult")


class _Status(BaseModel):
    operation: _Operation | None = Field(None, validation_alias="operationState")


class _Application(BaseModel):
    metadata: _Metadata
    status: _Status


def _matches(body: object) -> bool:
    match body:
        case {"kind": "Application", "metadata": _, "status": _}:
            return True
    return False


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event | None:
    """The deploy; null for a sync that runs or has failed."""
    application = _Application.model_validate(entry)
    operation = application.status.operation
    if operation is None or operation.phase != "Succeeded":
        return None
    if operation.finished_at is None:
        raise InputError("finishedAt: the sync does not contain when it succeeded")
    service = services.service_of(application.metadata.labels or {}) or application.metadata.name
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service that the labels of the application name {problem}")
    result = operation.result or _SyncResult()
    return Event(
        tenant=tenant,
        service=service,
        kind=EventKind.DEPLOY,
        at=operation.finished_at,
        version=result.revision or ", ".join(result.revisions or ())[:2_000],
        title="sync by Argo CD",
    )


ARGO_CD = WebhookFormat(
    name="argo_cd",
    webhook=Webhook.DEPLOYS,
    expects="an application of Argo CD with `metadata` and `status`",
    matches=_matches,
    parse=_parse,
)
