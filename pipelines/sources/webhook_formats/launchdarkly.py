"""Changes of feature flags from LaunchDarkly's webhook, whose body is an entry of its audit log.

The service is what a tag of the flag names after a dot, such as `service.checkout`, because LaunchDarkly allows no
colon in a tag. Without such a tag the change counts for all services. Changes of segments, members, ... are none.

References:
    https://launchdarkly.com/docs/api/webhooks
"""

import re

from pydantic import BaseModel, Field

from core.batch import Batch
from core.domain import Event
from core.service_names import ServiceRule
from core.storable import Text
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.flag_changes import flag_change
from pipelines.sources.webhook_formats.tags import labels_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: `proj/default:env/production:flag/new-checkout;tag1,tag2`
_RESOURCE = re.compile(r"proj/[^:]*:env/(?P<environment>[^:;]*)[^:]*:flag/(?P<flag>[^:;]*)(?:;(?P<tags>.*))?")
#: Actions that leave alone who gets which variation.
_OF_TEXTS = frozenset({"updateName", "updateDescription", "updateTags"})
_TAGS = re.compile(r"[,;]")


class _Access(BaseModel):
    action: str = ""
    resource: Text


class _Version(BaseModel):
    tags: list[Text] | None = None


class _Flag(BaseModel):
    name: Title
    date: Time
    title_verb: Text | None = Field(None, validation_alias="titleVerb")
    accesses: list[_Access] | None = None
    version: _Version | None = Field(None, validation_alias="currentVersion")


def _matches(body: object) -> bool:
    return isinstance(body, dict) and {"_links", "date", "kind", "accesses"} <= body.keys()


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    events, rejected = parse_entries([body], lambda entry: _event(entry, tenant, services))
    return Batch(events=events, rejected=rejected)


def _event(entry: object, tenant: str, services: ServiceRule) -> Event | None:
    """The config change; null for a change of texts, or of something else than a flag."""
    if not isinstance(entry, dict) or entry.get("kind") != "flag":
        return None
    change = _Flag.model_validate(entry)
    if change.accesses and all(access.action in _OF_TEXTS for access in change.accesses):
        return None
    found = [one for access in change.accesses or () if (one := _RESOURCE.match(access.resource))]
    tags = [tag for one in found for tag in _TAGS.split(one["tags"] or "")]
    tags += (change.version and change.version.tags) or []
    environments = ", ".join(dict.fromkeys(one["environment"] for one in found))
    return flag_change(
        found[0]["flag"] if found else change.name,
        f"{change.title_verb or 'changed'}" + (f" in {environments}" if environments else ""),
        change.date,
        tenant=tenant,
        services=services,
        labels=labels_of(tags, "."),
    )


LAUNCHDARKLY = WebhookFormat(
    name="launchdarkly",
    webhook=Webhook.DEPLOYS,
    expects="an entry of LaunchDarkly's audit log",
    matches=_matches,
    parse=_parse,
)
