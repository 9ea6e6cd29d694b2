"""Events of Kubernetes, as kubernetes-event-exporter posts them, or in `{"verb": ..., "event": ...}` as eventrouter.

A rollout is a deploy: the controller of a Deployment scales a new replica set up from nothing. Other scaling is none,
because an autoscaler does it all day. Events about a failure (out of memory, crash loop, eviction, node not ready) are
incidents. No event tells that a failure is over, so the incident lasts from the first to the last repetition. NodeReady
does not end one: each new node sends it, too. All other events change nothing.

The service is what the labels of the object name, else its name without what Kubernetes has appended.

References:
    https://github.com/resmoio/kubernetes-event-exporter
    https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import re
from dataclasses import replace
from datetime import datetime

from pydantic import AliasChoices, BaseModel, Field

from core.batch import Batch
from core.domain import Event, EventKind, Incident, Severity
from core.errors import InputError
from core.service_names import ServiceRule
from core.storable import Name, name_problem
from pipelines.sources.webhook_formats.entries import OptionalTime, parse_entries
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

#: Reasons of the kubelet, the node problem detector and the node controller.
_INCIDENTS = {
    "OOMKilling": Severity.CRITICAL,
    "SystemOOM": Severity.CRITICAL,
    "NodeNotReady": Severity.CRITICAL,
    "BackOff": Severity.WARNING,
    "Evicted": Severity.WARNING,
}
#: Pods of a node that is not ready send this as well. The node is the cause.
_OF_NODES_ONLY = frozenset({"NodeNotReady"})
_ROLLOUT = "ScalingReplicaSet"
#: A scaling from nothing has no "from", or "from 0".
_SCALED_UP = re.compile(r"Scaled up replica set (\S+) to [1-9]\d*(?: from 0)?$")
#: What controllers append to names: no vowels and no digits that look like them.
_SIGNS = "[bcdfghjklmnpqrstvwxz2456789]"
_APPENDED = {
    "Pod": re.compile(rf"-{_SIGNS}{{6,10}}-{_SIGNS}{{5}}$|-{_SIGNS}{{5}}$|-\d{{1,5}}$"),
    "ReplicaSet": re.compile(rf"-{_SIGNS}{{6,10}}$"),
}


class _Object(BaseModel):
    kind: str
    name: Name
    labels: dict[str, str] | None = None


class _Metadata(BaseModel):
    created_at: OptionalTime = Field(None, validation_alias="creationTimestamp")


class _Series(BaseModel):
    last_at: OptionalTime = Field(None, validation_alias="lastObservedTime")


class _Event(BaseModel):
    subject: _Object = Field(validation_alias=AliasChoices("involvedObject", "regarding"))
    reason: Name
    message: str = Field("", validation_alias=AliasChoices("message", "note"))
    metadata: _Metadata = _Metadata()
    first_at: OptionalTime = Field(None, validation_alias="firstTimestamp")
    last_at: OptionalTime = Field(None, validation_alias="lastTimestamp")
    event_at: OptionalTime = Field(None, validation_alias="eventTime")
    series: _Series | None = None

    def times(self) -> tuple[datetime, datetime]:
        """When it happened first and last. Newer controllers set `eventTime` in place of the two timestamps."""
        first = self.first_at or self.event_at or self.metadata.created_at
        if first is None:
            raise InputError("firstTimestamp: the event does not contain when it happened")
        return first, max(first, self.last_at or (self.series and self.series.last_at) or first)


def _matches(body: object) -> bool:
    match _event_in(body):
        case {"involvedObject": dict(), "reason": _, "reportingController": _}:
            return False  # of Flux
        case {"involvedObject": dict(), "reason": _} | {"regarding": dict(), "reason": _}:
            return True
    return False


def _event_in(body: object) -> object:
    match body:
        case {"verb": str(), "event": dict(event)}:
            return event
    return body


def _parse(body: object, tenant: str, services: ServiceRule) -> Batch:
    entries = [_event_in(body)]
    events, rejected = parse_entries(
        entries, lambda entry: _rollout(_Event.model_validate(entry), tenant, services)
    )
    if rejected.height:
        return Batch(rejected=rejected)
    incidents, rejected = parse_entries(
        entries, lambda entry: _incident(_Event.model_validate(entry), tenant, services)
    )
    return Batch(events=events, incidents=incidents, rejected=rejected)


def _rollout(event: _Event, tenant: str, services: ServiceRule) -> Event | None:
    """The deploy; null for another event."""
    scaled = _SCALED_UP.match(event.message.strip())
    if event.reason != _ROLLOUT or event.subject.kind != "Deployment" or scaled is None:
        return None
    first, _ = event.times()
    return Event(
        tenant=tenant,
        service=_service(event.subject, services),
        kind=EventKind.DEPLOY,
        at=first,
        version=scaled[1].removeprefix(f"{event.subject.name}-"),
        title="rollout by Kubernetes",
    )


def _incident(event: _Event, tenant: str, services: ServiceRule) -> Incident | None:
    """The incident; null for an event that is no failure."""
    severity = _INCIDENTS.get(event.reason)
    if severity is None or (event.reason in _OF_NODES_ONLY and event.subject.kind != "Node"):
        return None
    first, last = event.times()
    return Incident(
        tenant=tenant,
        service=_service(event.subject, services),
        type=event.reason,
        severity=severity,
        start=first,
        end=last,
    )


def _service(subject: _Object, services: ServiceRule) -> str:
    # Labels of a node (`instance`, `app`) do not name what runs on it.
    named = services.service_of(subject.labels or {}) if subject.kind != "Node" else None
    appended = _APPENDED.get(subject.kind)
    service = named or (appended.sub("", subject.name) if appended else subject.name)
    problem = name_problem(service)
    if problem is not None:
        raise InputError(f"the service of an event {problem}")
    return service


KUBERNETES = WebhookFormat(
    name="kubernetes",
    webhook=Webhook.ALERTS,
    expects="an event of Kubernetes with `involvedObject` and `reason`",
    matches=_matches,
    parse=_parse,
)
#: An exporter posts all events to one address, and people may choose either.
KUBERNETES_DEPLOYS = replace(KUBERNETES, webhook=Webhook.DEPLOYS)
