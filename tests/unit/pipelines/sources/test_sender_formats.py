"""The webhook formats of other tools, with bodies in the form of their public docs."""

import json
from copy import deepcopy
from typing import Any

import pytest
from fakes.sender_bodies import (
    ALERTS,
    DEPLOYS,
    FLAGS,
    LATER,
    NOON,
    STARTLESS,
    Body,
    cloudwatch,
    datadog,
    grafana,
    opsgenie,
    pagerduty,
)

from core.alert_changes import AlertChange
from core.batch import Batch
from core.domain import Event, Incident, Severity
from pipelines.sources.webhook_formats.registered import FORMATS, parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook

Item = Incident | AlertChange | Event


def parse(body: object, webhook: Webhook = Webhook.ALERTS) -> Batch:
    return parse_webhook(webhook, body, "t")


def rejected(batch: Batch) -> list[str]:
    return [] if batch.rejected is None else batch.rejected["reason"].to_list()


def items(batch: Batch) -> list[Item]:
    return [*batch.incidents, *batch.alert_changes, *batch.events]


@pytest.mark.parametrize("sender", ALERTS)
def test_a_firing_alert_opens_an_incident_and_a_resolved_one_closes_it(sender: str) -> None:
    opened, closed = (parse(ALERTS[sender](resolved=resolved)) for resolved in (False, True))
    assert rejected(opened) == rejected(closed) == []
    for one in (*items(opened), *items(closed)):
        assert isinstance(one, Incident | AlertChange)
        assert (one.tenant, one.service, one.type) == ("t", "checkout", "Too many errors")
    if sender in STARTLESS:
        changes = [*opened.alert_changes, *closed.alert_changes]
        assert [(one.firing, one.at) for one in changes] == [(True, NOON), (False, LATER)]
        assert changes[0].severity is Severity.CRITICAL
    else:
        (first,), (last,) = opened.incidents, closed.incidents
        assert (first.start, first.end, last.start, last.end) == (NOON, None, NOON, LATER)
        assert first.incident_id == last.incident_id
        assert first.severity is Severity.CRITICAL


@pytest.mark.parametrize("sender", DEPLOYS)
def test_a_successful_deploy_is_an_event(sender: str) -> None:
    batch = parse(DEPLOYS[sender](), Webhook.DEPLOYS)
    assert rejected(batch) == []
    (event,) = batch.events
    assert (event.service, event.at, event.version) == ("checkout", NOON, "279484c0")


def test_each_body_is_read_by_the_format_of_its_sender_only() -> None:
    bodies = [
        *((name, ALERTS[name](resolved=False)) for name in ALERTS),
        *((n, make()) for n, make in {**DEPLOYS, **FLAGS}.items()),
    ]
    general = {"plain", "alertmanager"}
    for name, body in bodies:
        matching = {one.name for one in FORMATS if one.matches(body) and one.name not in general}
        assert len(matching) == 1, (name, matching)
        assert min(matching).startswith(name[:5])


@pytest.mark.parametrize(
    ("sender", "changes"),
    [
        ("gitlab", {"status": "running"}),
        ("gitlab", {"status": "failed"}),
        ("argo_cd", {"status": {}}),
        ("argo_cd", {"status": {"operationState": {"phase": "Failed"}}}),
        ("flux", {"severity": "error", "reason": "ValidationFailed"}),
        ("flux", {"reason": "Progressing"}),
        ("flux", {"involvedObject": {"kind": "GitRepository", "name": "checkout"}}),
    ],
)
def test_a_deploy_that_has_not_succeeded_is_no_event(sender: str, changes: Body) -> None:
    batch = parse(DEPLOYS[sender]() | changes, Webhook.DEPLOYS)
    assert (items(batch), rejected(batch)) == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": "service.updated", "resource_type": "service", "data": {"type": "service"}},
        {"event_type": "incident.annotated", "data": {"type": "incident_note", "content": "x"}},
        {"client": {"name": "Forewarn", "url": None}},
    ],
)
def test_an_event_of_pagerduty_about_something_else_or_of_our_own_changes_nothing(changes: Body) -> None:
    body = pagerduty(resolved=False)
    body["event"] |= changes
    batch = parse(body)
    assert (items(batch), rejected(batch)) == ([], [])


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all parts of a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for name, part in parts for one in _paths(part, (*path, name)))]


def _changed(body: Body, path: tuple[Any, ...], value: object) -> Any:
    """A copy of the body with another value at a place; `...` removes it."""
    if not path:
        return value
    copy = deepcopy(body)
    place: Any = copy
    for name in path[:-1]:
        place = place[name]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


BODIES = {
    **{f"{name}, firing": (Webhook.ALERTS, make(resolved=False)) for name, make in ALERTS.items()},
    **{f"{name}, resolved": (Webhook.ALERTS, make(resolved=True)) for name, make in ALERTS.items()},
    **{name: (Webhook.DEPLOYS, make()) for name, make in {**DEPLOYS, **FLAGS}.items()},
}
ODD: tuple[Any, ...] = (
    None,
    ...,
    "",
    "\0",
    "a\0b",
    "\ud800",
    "x" * 9_000,
    0,
    -1,
    2**70,
    1e300,
    True,
    [],
    [None],
    {},
    {"a": {}},
)


@pytest.mark.parametrize("name", BODIES)
def test_a_field_that_is_missing_or_has_another_type_never_breaks_the_webhook(name: str) -> None:
    webhook, body = BODIES[name]
    bodies = [body]
    if "cloudwatch" in name:
        alarm = json.loads(body["Message"])
        bodies = [
            body | {"Message": json.dumps(_changed(alarm, path, odd))}
            for path in _paths(alarm)[1:]
            for odd in ODD
            if odd is not ...
        ]
        bodies.append(body)
    for one in [_changed(body, path, odd) for path in _paths(body)[1:] for odd in ODD] + bodies:
        if not any(form.matches(one) for form in FORMATS if form.webhook is webhook):
            continue  # the request gets an error that lists the formats
        batch = parse(one, webhook)
        for item in items(batch):
            assert item.service.isprintable()
            assert "\0" not in json.dumps([item.service, getattr(item, "type", "")])
        for reason in rejected(batch):
            assert reason.isprintable()
            assert len(reason) < 500


OPTIONAL = [
    ("pagerduty", ("event", "data", "urgency")),
    ("pagerduty", ("event", "client")),
    ("opsgenie", ("alert", "priority")),
    ("opsgenie", ("alert", "entity")),
    ("datadog", ("tags",)),
    ("datadog", ("alert_scope",)),
    ("datadog", ("alert_priority",)),
    ("azure", ("data", "customProperties")),
    ("azure", ("data", "essentials", "configurationItems")),
    ("azure", ("data", "essentials", "alertTargetIDs")),
    ("splunk", ("STATE.CURRENT_STATE",)),
    ("splunk", ("ALERT.entity_display_name",)),
    ("splunk", ("STATE.RESOLVED_AT",)),
]


@pytest.mark.parametrize("resolved", [False, True])
@pytest.mark.parametrize(("sender", "path"), OPTIONAL)
def test_a_missing_optional_field_rejects_no_alert(
    sender: str, path: tuple[str, ...], resolved: bool
) -> None:
    batch = parse(_changed(ALERTS[sender](resolved=resolved), path, ...))
    assert rejected(batch) == []
    assert len(items(batch)) == 1


@pytest.mark.parametrize(
    ("sender", "path", "word"),
    [
        ("opsgenie", ("alert", "updatedAt"), "updatedAt"),
        ("azure", ("data", "essentials", "resolvedDateTime"), "resolvedDateTime"),
        ("splunk", ("STATE.LAST_TIMESTAMP",), "LAST_TIMESTAMP"),
        ("splunk", ("STATE.SERVICE",), "STATE.SERVICE"),
        ("pagerduty", ("event", "data", "service"), "service"),
        ("datadog", ("date",), "date"),
    ],
)
def test_a_missing_field_is_named_in_the_dead_letter(sender: str, path: tuple[str, ...], word: str) -> None:
    batch = parse(_changed(ALERTS[sender](resolved=True), path, ...))
    (reason,) = rejected(batch)
    assert word in reason
    assert items(batch) == []


def test_an_alert_that_names_no_service_tells_how_to_name_one() -> None:
    alarm = json.loads(cloudwatch(resolved=False)["Message"]) | {"Trigger": None}
    for body, remedy in (
        (cloudwatch(resolved=False) | {"Message": json.dumps(alarm)}, "service=NAME"),
        (datadog(resolved=False) | {"tags": "", "hostname": ""}, "service:checkout"),
    ):
        if "alert_scope" in body:
            body["alert_scope"] = ""
        (reason,) = rejected(parse(body))
        assert remedy in reason


def test_long_titles_with_line_breaks_are_cut() -> None:
    body = pagerduty(resolved=False)
    body["event"]["data"]["title"] = "ä\n" * 1_000
    (incident,) = parse(body).incidents
    assert incident.type.startswith("ä ä ä")
    assert len(incident.type) == 200


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription", "confirm the subscription"),
        ("https://sns.cn-north-1.amazonaws.com.cn/?Action=x", "confirm the subscription"),
        ("http://sns.eu-west-1.amazonaws.com/", "do not open it"),
        ("https://amazonaws.com.evil.example/", "do not open it"),
        ("https://evilamazonaws.com/", "do not open it"),
        ("https://sns.amazonaws.com@evil.example/", "do not open it"),
        ("https://[", "do not open it"),
        ("", "do not open it"),
    ],
)
def test_a_subscription_of_sns_is_left_to_a_person(url: str, part: str) -> None:
    body = cloudwatch(resolved=False) | {
        "Type": "SubscriptionConfirmation",
        "SubscribeURL": url,
        "Token": "x",
    }
    batch = parse(body)
    (reason,) = rejected(batch)
    assert part in reason
    assert items(batch) == []


def test_the_end_of_a_subscription_and_too_few_data_change_nothing() -> None:
    gone = cloudwatch(resolved=False) | {"Type": "UnsubscribeConfirmation"}
    alarm = json.loads(cloudwatch(resolved=False)["Message"]) | {"NewStateValue": "INSUFFICIENT_DATA"}
    for body in (gone, cloudwatch(resolved=False) | {"Message": json.dumps(alarm)}):
        batch = parse(body)
        assert (items(batch), rejected(batch)) == ([], [])


def test_empty_lists_and_many_entries_are_read() -> None:
    empty = grafana(resolved=False) | {"alerts": []}
    assert items(parse(empty)) == []
    many = grafana(resolved=False)
    many["alerts"] *= 40_000
    assert len(parse(many).incidents) == 40_000
    tagged = opsgenie(resolved=False)
    tagged["alert"]["tags"] = [f"tag{n}:x" for n in range(40_000)] + ["service:checkout"]
    assert parse(tagged).incidents[0].service == "checkout"
