"""Deploys from Flux: the events that its notification-controller posts to a provider of type `generic`.

The service is the name of the Kustomization or the HelmRelease. A successful reconciliation with a revision is a
deploy; events about sources and images are none.

References:
    https://fluxcd.io/flux/components/notification/providers/#generic-webhook
    https://fluxcd.io/flux/components/notification/events/
"""

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Event, EventKind
from core.service_names import ServiceRule
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import Time, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_DEPLOYED = frozenset({"Kustomization", "HelmRelease"})
_SUCCEEDED = frozenset(
    {"ReconciliationSucceeded", "InstallSucceeded", "UpgradeSucceeded", "RollbackSucceeded"}
)


class _Object(BaseModel):
    kind: str
    name: Name
    namespace: Text = ""


class _Hook(BaseModel):
    subject: _Object = Field(validation_alias="involvedObject")
    severity: str
    reason: str
    timestamp: Time
    metadata: dict[str, Text] | None = None


def _matches(body: object) -> bool:
    return isinstance(body, dict) and {"involvedObject", "reportingController"} <= body.keys()


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str) -> Event | None:
    """The deploy; null for another object, and for a reconciliation that runs or has failed."""
    hook = _Hook.model_validate(entry)
    is_deploy = hook.severity == "info" and hook.reason in _SUCCEEDED and hook.subject.kind in _DEPLOYED
    if not is_deploy:
        return None
    revisions = [value for name, value in (hook.metadata or {}).items() if _is_revision(name)]
    return Event(
        tenant=tenant,
        service=hook.subject.name,
        kind=EventKind.DEPLOY,
        at=hook.timestamp,
        version=revisions[0] if revisions else "",
        title=f"{hook.subject.kind} by Flux",
    )


def _is_revision(name: str) -> bool:
    """Keys have the API group of the controller in front, such as `kustomize.toolkit.fluxcd.io/revision`."""
    return name.rpartition("/")[2] == "revision"


FLUX = WebhookFormat(
    name="flux",
    webhook=Webhook.DEPLOYS,
    expects="an event of Flux's notification-controller",
    matches=_matches,
    parse=_parse,
)
