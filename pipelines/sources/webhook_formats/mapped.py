"""JSON of any other tool, read by mappings that people write: a YAML file of named sources.

    sources:
      - name: shipit
        webhook: alerts                  # or deploys
        when: {type: alarm}              # values that a body of this source has; null: any value
        entries: data.alerts             # where the list of entries is; without: the body is the entry
        service: labels.service          # a path into an entry; a text after = is the value itself
        title: rule.name
        severity: severity
        status: state
        resolved: [closed]               # values of `status` of an alert that has ended
        started: opened_at
        ended: closed_at

A path has names between dots, as in JSONPath: `alerts[0].labels['app.name']`; `$.` in front is allowed.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from core.alert_changes import AlertChange
from core.batch import Batch
from core.domain import Event, EventKind, Incident
from core.errors import ConfigurationError, InputError
from core.service_names import ServiceRule
from core.storable import Name, Text
from pipelines.sources.webhook_formats.entries import OptionalTime, Time, Title, parse_entries
from pipelines.sources.webhook_formats.severities import severity_of
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat

_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]|\['([^']+)'\]")
_CONSTANT = "="
_RESOLVED = ("resolved", "closed", "ok", "recovered", "inactive")


def _require_path(path: str) -> str:
    if path.startswith(_CONSTANT):
        return path
    text = path.removeprefix("$.").removeprefix("$")
    if "".join(one[0] for one in _STEP.finditer(text)) != text or not text:
        raise ValueError(f"{path!r} is no path such as alert.labels.service, alerts[0].name or =constant")
    return path


FieldPath = Annotated[str, AfterValidator(_require_path)]


class _Source(BaseModel):
    """One source of the file. Every field of an entry is a path into it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    webhook: Webhook
    when: dict[FieldPath, str | int | float | bool | None]
    entries: FieldPath | None = None
    service: FieldPath
    title: FieldPath | None = None
    severity: FieldPath | None = None
    status: FieldPath | None = None
    resolved: tuple[str, ...] = _RESOLVED
    started: FieldPath
    ended: FieldPath | None = None
    url: FieldPath | None = None
    kind: FieldPath | None = None
    version: FieldPath | None = None

    @model_validator(mode="after")
    def _fits_its_webhook(self) -> "_Source":
        foreign = ("kind", "version", "url") if self.webhook is Webhook.ALERTS else ("severity", "status")
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} has no meaning for {self.webhook}; remove it")
        if self.webhook is Webhook.ALERTS and self.title is None:
            raise ValueError("title is missing: it names the alert")
        if self.webhook is Webhook.ALERTS and self.status is None and self.ended is None:
            raise ValueError("status or ended is missing: one of them tells that an alert has ended")
        if not self.when:
            raise ValueError("when is empty: it tells which bodies are of this source")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: tuple[_Source, ...]


class _Alert(BaseModel):
    service: Name
    title: Title
    severity: Text | None = None
    status: Text | None = None
    started: Time
    ended: OptionalTime = None


class _Change(BaseModel):
    service: Name
    title: Text | None = None
    started: Time
    ended: OptionalTime = None
    url: Text | None = None
    kind: EventKind | None = None
    version: Text | None = None


def read_mappings(path: Path | None) -> tuple[WebhookFormat, ...]:
    """The formats of a file of mappings; none without a file.

    Raises:
        ConfigurationError: the file cannot be read or is invalid; the text names the source and the field.
    """
    if path is None:
        return ()
    try:
        read = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"FOREWARN_WEBHOOK_MAPPINGS: {path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigurationError(f"FOREWARN_WEBHOOK_MAPPINGS: {path}: {place}: {first['msg']}") from None
    return tuple(_format(source) for source in read.sources)


def _format(source: _Source) -> WebhookFormat:
    return WebhookFormat(
        name=source.name,
        webhook=source.webhook,
        expects=f"a body of {source.name} as FOREWARN_WEBHOOK_MAPPINGS describes it",
        matches=partial(_matches, source),
        parse=partial(_parse, source),
    )


def _matches(source: _Source, body: object) -> bool:
    for path, wanted in source.when.items():
        found = value_at(body, path)
        if found is None or (wanted is not None and found != wanted):
            return False
    return True


def _parse(source: _Source, body: object, tenant: str, services: ServiceRule) -> Batch:
    found = body if source.entries is None else value_at(body, source.entries)
    entries: Sequence[object] = found if isinstance(found, list) else [found]
    if source.webhook is Webhook.DEPLOYS:
        events, rejected = parse_entries(entries, lambda entry: _event(source, entry, tenant))
        return Batch(events=events, rejected=rejected)
    if source.ended is None:
        changes, rejected = parse_entries(entries, lambda entry: _alert_change(source, entry, tenant))
        return Batch(alert_changes=changes, rejected=rejected)
    incidents, rejected = parse_entries(entries, lambda entry: _incident(source, entry, tenant))
    return Batch(incidents=incidents, rejected=rejected)


def _event(source: _Source, entry: object, tenant: str) -> Event:
    change = _Change.model_validate(_fields(source, entry, _Change))
    title = " ".join(part for part in (change.title, change.url) if part)
    return Event(
        tenant=tenant,
        service=change.service,
        kind=change.kind or EventKind.DEPLOY,
        at=change.started,
        until=change.ended,
        title=title[:2_000],
        version=change.version or "",
    )


def _alert_change(source: _Source, entry: object, tenant: str) -> AlertChange:
    """A change of an alert whose sender does not send both times: `started` is the time of the change."""
    alert = _Alert.model_validate(_fields(source, entry, _Alert))
    return AlertChange(
        tenant=tenant,
        service=alert.service,
        type=alert.title,
        severity=severity_of(alert.severity or ""),
        at=alert.started,
        firing=not _is_resolved(source, alert),
    )


def _incident(source: _Source, entry: object, tenant: str) -> Incident:
    alert = _Alert.model_validate(_fields(source, entry, _Alert))
    is_resolved = source.status is None or _is_resolved(source, alert)
    if source.status is not None and is_resolved and alert.ended is None:
        raise InputError(f"{source.ended}: the resolved alert does not contain when it was resolved")
    return Incident(
        tenant=tenant,
        service=alert.service,
        type=alert.title,
        severity=severity_of(alert.severity or ""),
        start=alert.started,
        end=alert.ended if is_resolved else None,
    )


def _is_resolved(source: _Source, alert: _Alert) -> bool:
    return (alert.status or "").strip().lower() in {one.lower() for one in source.resolved}


def _fields(source: _Source, entry: object, model: type[BaseModel]) -> Mapping[str, object]:
    """The fields of an entry under our names. Numbers are texts where a text is wanted; times may be numbers."""
    found = {}
    for name in model.model_fields:
        path = getattr(source, name)
        value = None if path is None else value_at(entry, path)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and name not in ("started", "ended")
        ):
            value = str(value)
        if value is not None:
            found[name] = value
    return found


def value_at(value: object, path: str) -> object:
    """What is at a path; null where nothing is.

    Examples:
        >>> value_at({"alerts": [{"labels": {"app.name": "checkout"}}]}, "$.alerts[0].labels['app.name']")
        'checkout'
        >>> value_at({"a": 1}, "a.b"), value_at({}, "=checkout")
        (None, 'checkout')
    """
    if path.startswith(_CONSTANT):
        return path.removeprefix(_CONSTANT)
    for step in _STEP.finditer(path.removeprefix("$.").removeprefix("$")):
        name, index, quoted = step.groups()
        match value:
            case dict():
                value = value.get(name or quoted or index)
            case list() if (index or name or "").isdecimal() and int(index or name) < len(value):
                value = value[int(index or name)]
            case _:
                return None
    return value
