"""Changes of alerts from Datadog's webhook, whose payload people write. It has to contain these variables:

    {"alert_transition": "$ALERT_TRANSITION", "alert_title": "$ALERT_TITLE", "date": "$DATE", "tags": "$TAGS",
     "alert_scope": "$ALERT_SCOPE", "hostname": "$HOSTNAME", "alert_priority": "$ALERT_PRIORITY"}

The service is what the tags or the scope name (`service:checkout`), else the host. No variable of Datadog contains when
an alert started, so its start and its end are matched by service and title.

References:
    https://docs.datadoghq.com/integrations/webhooks/
"""

import re

from pydantic import BaseModel

from core.alert_changes import AlertChange
from core.batch import Batch
from core.domain import Severity
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import name_problem
from pipelines.sources.webhook_formats.entries import Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.tags import labels_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: Transition -> the severity of a monitor without a priority.
_FIRES = {
    **dict.fromkeys(("triggered", "re-triggered", "renotify"), Severity.CRITICAL),
    **dict.fromkeys(("warn", "re-warn", "no data", "re-no data"), Severity.WARNING),
}
_ENDS = "recovered"
_PRIORITIES = frozenset({"P1", "P2", "P3", "P4", "P5"})
#: Datadog writes the state in front of some titles, and it differs between start and end.
_STATE = re.compile(r"^\[[^\]]{1,60}\]\s*")


class _Hook(BaseModel):
    alert_transition: str
    alert_title: Title
    date: Time
    tags: str | None = None
    alert_scope: str | None = None
    hostname: str | None = None
    alert_priority: str | None = None


def _matches(body: object) -> bool:
    return isinstance(body, dict) and "alert_transition" in body


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    changes, rejected = parse_entries([body], lambda entry: _change(entry, tenant, services))
    return Batch(alert_changes=changes, rejected=rejected)


def _change(entry: object, tenant: str, services: ServiceRule) -> AlertChange:
    hook = _Hook.model_validate(entry)
    transition = hook.alert_transition.strip().lower()
    if transition != _ENDS and transition not in _FIRES:
        raise InputError(f"alert_transition: {hook.alert_transition[:40]!r} is no transition of Datadog")
    labels = labels_of([*(hook.alert_scope or "").split(","), *(hook.tags or "").split(",")])
    service = services.service_of(labels) or (hook.hostname or labels.get("host") or "").strip()
    if not service:
        raise InputError("the alert has neither a tag such as service:checkout nor a host")
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service of an alert {problem}")
    priority = (hook.alert_priority or "").strip()
    return AlertChange(
        tenant=tenant,
        service=service,
        type=_STATE.sub("", hook.alert_title) or hook.alert_title,
        severity=severity_of(priority)
        if priority in _PRIORITIES
        else _FIRES.get(transition, Severity.WARNING),
        at=hook.date,
        firing=transition != _ENDS,
    )


DATADOG = WebhookFormat(
    name="datadog",
    webhook=Webhook.ALERTS,
    expects="a webhook of Datadog with the payload of the docs",
    matches=_matches,
    parse=_parse,
)
