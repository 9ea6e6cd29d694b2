"""Changes of feature flags from the webhook of an environment of Flagsmith.

Its body contains no tags, so a change counts for all services. An override for one identity is none: it concerns one
user.

References:
    https://docs.flagsmith.com/administration-and-security/platform-configuration/environment-settings
"""

from pydantic import BaseModel, JsonValue

from core.batch import Batch
from core.domain import Event
from core.service_names import ServiceRule
from core.storable import Text
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.flag_changes import flag_change
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


class _Named(BaseModel):
    name: Title


class _Environment(BaseModel):
    name: Text = ""


class _State(BaseModel):
    feature: _Named
    #: Older versions send the id alone.
    environment: _Environment | int | None = None
    enabled: bool | None = None
    identity: JsonValue = None


class _Data(BaseModel):
    new_state: _State | None = None
    previous_state: _State | None = None
    timestamp: Time


class _Hook(BaseModel):
    data: _Data


def _matches(body: object) -> bool:
    match body:
        case {"event_type": "FLAG_UPDATED" | "FLAG_DELETED", "data": dict()}:
            return True
    return False


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event | None:
    """The config change; null for the override of one identity."""
    data = _Hook.model_validate(entry).data
    state = data.new_state or data.previous_state
    if state is None or state.identity is not None:
        return None
    what = "deleted" if data.new_state is None else "enabled" if state.enabled else "disabled"
    environment = state.environment.name if isinstance(state.environment, _Environment) else ""
    return flag_change(
        state.feature.name,
        what + (f" in {environment}" if environment else ""),
        data.timestamp,
        tenant=tenant,
        services=services,
        labels={},
    )


FLAGSMITH = WebhookFormat(
    name="flagsmith",
    webhook=Webhook.DEPLOYS,
    expects="a webhook of an environment of Flagsmith",
    matches=_matches,
    parse=_parse,
)
