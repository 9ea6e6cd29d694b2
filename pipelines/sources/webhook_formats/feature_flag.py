"""Changes of feature flags from any other tool, under the names of OpenFeature or OpenTelemetry.

    {"flagKey": "new-checkout", "variant": "on", "at": "2026-03-02T12:00:00Z", "service": "checkout"}

Without a service the change counts for all services.

References:
    https://openfeature.dev/specification/types
    https://opentelemetry.io/docs/specs/semconv/feature-flags/
"""

from pydantic import AliasChoices, BaseModel, Field, JsonValue

from core.batch import Batch
from core.domain import Event
from core.service_names import ServiceRule
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.flag_changes import flag_change
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_KEYS = ("flagKey", "flag_key", "feature_flag.key", "feature_flag_key")


class _Change(BaseModel):
    flag: Title = Field(validation_alias=AliasChoices(*_KEYS))
    at: Time = Field(validation_alias=AliasChoices("at", "timestamp", "time"))
    variant: JsonValue = Field(
        None, validation_alias=AliasChoices("variant", "feature_flag.result.variant", "value", "enabled")
    )


def _matches(body: object) -> bool:
    return isinstance(body, dict) and not body.keys().isdisjoint(_KEYS)


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event:
    change = _Change.model_validate(entry)
    texts = (
        {key: value for key, value in entry.items() if isinstance(value, str)}
        if isinstance(entry, dict)
        else {}
    )
    shown = change.variant if isinstance(change.variant, str | int | float) else None
    return flag_change(
        change.flag,
        "changed" if shown is None else f"changed to {shown}",
        change.at,
        tenant=tenant,
        services=services,
        labels=texts,
    )


FEATURE_FLAG = WebhookFormat(
    name="feature_flag",
    webhook=Webhook.DEPLOYS,
    expects="a JSON object with `flagKey` and `at`",
    matches=_matches,
    parse=_parse,
)
