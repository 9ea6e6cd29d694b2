"""What deploy tools and Alertmanager post to us, as events and incidents. Pure parsers: who receives, stores.

Deploys: GitHub's `deployment` and `deployment_status`, or our own plain form, which Argo CD's and any other
tool's templates can be made to write:

    {"service": "checkout", "at": "2026-03-02T12:00:00Z", "version": "2.3.1", "kind": "deploy"}

one, a list, or `{"events": [...]}`; OpenTelemetry's `service.name` and `service.version` are read as well.
An entry that makes no sense is rejected with its reason, for the dead letters, and the others are taken.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import polars as pl
from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, Field, ValidationError

from core.domain import Event, EventKind, Incident, Severity
from core.errors import InputError
from core.ports import Batch

Item = TypeVar("Item", Event, Incident)

REJECTED = {"row": pl.String, "reason": pl.String}

_SEVERITIES = {
    **dict.fromkeys(("critical", "page", "error", "high", "emergency"), Severity.CRITICAL),
    **dict.fromkeys(("info", "none", "low", "debug"), Severity.INFO),
}
#: Labels that name the service, the first there wins: ours, OpenTelemetry's, Kubernetes', Prometheus' own.
_SERVICE_LABELS = ("service", "service_name", "app", "job")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time lies outside the calendar") from None


_Time = Annotated[AwareDatetime, AfterValidator(_to_utc)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _PlainEvent(BaseModel):
    service: _Name = Field(validation_alias=AliasChoices("service", "service.name"))
    version: str = Field("", validation_alias=AliasChoices("version", "service.version"))
    at: _Time
    until: _Time | None = None
    kind: EventKind = EventKind.DEPLOY
    title: str = ""


class _Deployment(BaseModel):
    ref: str
    created_at: _Time
    environment: str = ""


class _DeploymentStatus(BaseModel):
    state: str
    created_at: _Time


class _Repository(BaseModel):
    name: _Name


class _GitHub(BaseModel):
    deployment: _Deployment
    deployment_status: _DeploymentStatus | None = None
    repository: _Repository


class _Alert(BaseModel):
    status: str
    labels: dict[str, str]
    starts_at: _Time = Field(validation_alias="startsAt")
    ends_at: _Time | None = Field(None, validation_alias="endsAt")


def parse_deploys(body: object, tenant: str) -> Batch:
    """The deploys, config changes and maintenance windows in the JSON of one webhook.

    Raises:
        InputError: it is neither GitHub's form nor the plain one.
    """
    match body:
        case {"deployment": _, "repository": _}:
            events, rejected = _each([body], lambda entry: _github(entry, tenant))
            return Batch(events=events, rejected=rejected)
        case {"events": list(entries)}:
            pass
        case list(entries):
            pass
        case dict():
            entries = [body]
        case _:
            raise InputError("a deploy webhook must be a JSON object or a list of them")
    events, rejected = _each(entries, lambda entry: _plain(entry, tenant))
    return Batch(events=events, rejected=rejected)


def parse_alerts(body: object, tenant: str) -> Batch:
    """The incidents in the JSON that Alertmanager posts to a webhook; a resolved alert ends its incident.

    Our own predictions, sent there and routed back, are left out: a model must not learn from itself.

    Raises:
        InputError: it is not Alertmanager's form.
    """
    match body:
        case {"alerts": list(entries)}:
            incidents, rejected = _each(entries, lambda entry: _incident(entry, tenant))
            return Batch(incidents=incidents, rejected=rejected)
        case _:
            raise InputError("an Alertmanager webhook must be a JSON object with a list of alerts")


def _plain(entry: object, tenant: str) -> Event:
    plain = _PlainEvent.model_validate(entry)
    return Event(tenant=tenant, **plain.model_dump())


def _github(entry: object, tenant: str) -> Event | None:
    """A deploy counts from the moment that it has succeeded; one that has not changed nothing."""
    hook = _GitHub.model_validate(entry)
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


def _incident(entry: object, tenant: str) -> Incident | None:
    alert = _Alert.model_validate(entry)
    name = alert.labels.get("alertname", "")
    if name.startswith("Forewarn") and "signal_id" in alert.labels:
        return None
    service = next((alert.labels[label] for label in _SERVICE_LABELS if alert.labels.get(label)), None)
    if service is None:
        raise InputError(f"alert {name!r} has none of the labels {', '.join(_SERVICE_LABELS)}")
    return Incident(
        tenant=tenant,
        service=service,
        type=name or "alert",
        severity=_SEVERITIES.get(alert.labels.get("severity", "").lower(), Severity.WARNING),
        start=alert.starts_at,
        end=alert.ends_at if alert.status == "resolved" else None,
    )


def _each(
    entries: Iterable[object], parse: Callable[[object], Item | None]
) -> tuple[tuple[Item, ...], pl.DataFrame]:
    parsed: list[Item] = []
    rejected = []
    for entry in entries:
        try:
            item = parse(entry)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "entry"
            rejected.append((json.dumps(entry, sort_keys=True), f"{place}: {first['msg']}"))
        except InputError as error:
            rejected.append((json.dumps(entry, sort_keys=True), str(error)))
        else:
            parsed += [item] if item is not None else []
    return tuple(parsed), pl.DataFrame(rejected, schema=REJECTED, orient="row")
