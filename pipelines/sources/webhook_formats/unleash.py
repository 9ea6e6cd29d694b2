"""Changes of feature flags from the webhook of Unleash, with its default body.

The service is what a tag of the flag names: of the type `service`, or a simple tag such as `service:checkout`. Without
such a tag the change counts for all services. Events that leave alone who gets which variant (a new description, a
change request, ...) are none.

References:
    https://docs.getunleash.io/reference/integrations/webhook
    https://docs.getunleash.io/reference/events
"""

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Event
from core.service_names import ServiceRule
from core.storable import Text
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.flag_changes import flag_change
from pipelines.sources.webhook_formats.tags import labels_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_CHANGES = {
    "feature-environment-enabled": "enabled",
    "feature-environment-disabled": "disabled",
    "feature-strategy-add": "strategy added",
    "feature-strategy-update": "strategy changed",
    "feature-strategy-remove": "strategy removed",
    "feature-variants-updated": "variants changed",
    "feature-environment-variants-updated": "variants changed",
    "feature-archived": "archived",
    "feature-revived": "revived",
    "feature-updated": "changed",
}


class _Tag(BaseModel):
    type: Text
    value: Text


class _Hook(BaseModel):
    type: str
    flag: Title = Field(validation_alias="featureName")
    created_at: Time = Field(validation_alias="createdAt")
    environment: Text | None = None
    tags: list[_Tag] | None = None


def _matches(body: object) -> bool:
    return isinstance(body, dict) and {"type", "featureName", "createdAt"} <= body.keys()


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event | None:
    """The config change; null for an event that changes no behaviour."""
    hook = _Hook.model_validate(entry)
    what = _CHANGES.get(hook.type)
    if what is None:
        return None
    tags = hook.tags or []
    simple = labels_of(tag.value for tag in tags if tag.type == "simple")
    return flag_change(
        hook.flag,
        what + (f" in {hook.environment}" if hook.environment else ""),
        hook.created_at,
        tenant=tenant,
        services=services,
        labels=simple | {tag.type: tag.value for tag in tags if tag.type != "simple"},
    )


UNLEASH = WebhookFormat(
    name="unleash",
    webhook=Webhook.DEPLOYS,
    expects="an event of Unleash with `type`, `featureName` and `createdAt`",
    matches=_matches,
    parse=_parse,
)
