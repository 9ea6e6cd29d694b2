from datetime import UTC, datetime
from typing import Any

import pytest

from core.domain import Event, EventKind, Incident, Severity
from core.errors import InputError
from core.ports import Batch
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PLAIN = {"service": "checkout", "at": "2026-03-02T13:00:00+01:00", "version": "2.3.1"}
DEPLOY = Event(tenant="t", service="checkout", kind=EventKind.DEPLOY, at=NOON, version="2.3.1")


def parse_deploys(body: object, tenant: str) -> Batch:
    return parse_webhook(Webhook.DEPLOYS, body, tenant)


def parse_alerts(body: object, tenant: str) -> Batch:
    return parse_webhook(Webhook.ALERTS, body, tenant)


def github(state: str | None = "success") -> dict[str, Any]:
    hook = {
        "action": "created",
        "deployment": {
            "ref": "v2",
            "sha": "abc",
            "environment": "production",
            "created_at": "2026-03-02T11:58:00Z",
        },
        "repository": {"name": "checkout", "full_name": "shop/checkout"},
    }
    status = {"state": state, "created_at": "2026-03-02T12:00:00Z"}
    return hook | ({"deployment_status": status} if state else {})


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "HighLatency", "service": "checkout", "severity": "critical"} | labels,
        "startsAt": "2026-03-02T12:00:00Z",
        "endsAt": "2026-03-02T12:30:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        [PLAIN],
        {"events": [PLAIN]},
        {"service.name": "checkout", "service.version": "2.3.1", "at": "2026-03-02T12:00:00Z"},
    ],
)
def test_the_plain_form_is_read_alone_in_a_list_and_with_opentelemetry_names(body: object) -> None:
    assert parse_deploys(body, "t").events == (DEPLOY,)


def test_a_config_change_and_a_window_are_read_too() -> None:
    window = PLAIN | {"kind": "maintenance", "until": "2026-03-02T14:00:00Z"}
    maintenance, change = parse_deploys([window, PLAIN | {"kind": "config_change"}], "t").events
    assert maintenance.until == datetime(2026, 3, 2, 14, tzinfo=UTC)
    assert change.kind is EventKind.CONFIG_CHANGE


def test_a_deployment_of_github_counts_from_its_success() -> None:
    (event,) = parse_deploys(github(), "t").events
    assert (event.service, event.version, event.at) == ("checkout", "v2", NOON)
    assert event.title == "deploy to production"


@pytest.mark.parametrize("state", ["pending", "in_progress", "failure", "error"])
def test_a_deployment_that_has_not_succeeded_is_no_deploy(state: str) -> None:
    assert parse_deploys(github(state), "t").events == ()


def test_a_deployment_without_a_status_counts_from_its_creation() -> None:
    (event,) = parse_deploys(github(None), "t").events
    assert event.at == datetime(2026, 3, 2, 11, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"at": None}, "at: "),
        ({"at": "2026-03-02T12:00:00"}, "at: "),
        ({"service": ""}, "service: "),
        ({"kind": "party"}, "kind: "),
        ({"until": "2026-03-01T00:00:00Z"}, "cannot end"),
    ],
)
def test_a_bad_entry_is_rejected_with_its_reason_and_the_others_are_taken(
    change: dict[str, object], reason: str
) -> None:
    batch = parse_deploys([PLAIN | change, PLAIN], "t")
    assert batch.events == (DEPLOY,)
    assert batch.rejected is not None
    ((row, why),) = batch.rejected.rows()
    assert '"version": "2.3.1"' in row
    assert reason in why


@pytest.mark.parametrize("body", [None, "x", 7])
def test_what_is_no_webhook_is_refused(body: object) -> None:
    with pytest.raises(InputError, match="must be"):
        parse_deploys(body, "t")
    with pytest.raises(InputError, match="must be"):
        parse_alerts(body, "t")


def test_a_firing_alert_is_an_open_incident_and_a_resolved_one_ends_it() -> None:
    opened, closed = (
        parse_alerts({"version": "4", "alerts": [alert(status)]}, "t").incidents[0]
        for status in ("firing", "resolved")
    )
    assert opened == Incident(
        tenant="t", service="checkout", type="HighLatency", severity=Severity.CRITICAL, start=NOON
    )
    assert closed.end == datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert opened.incident_id == closed.incident_id


def test_our_own_alert_that_comes_back_is_no_incident() -> None:
    own = alert(alertname="ForewarnBreach", signal_id="s1")
    assert parse_alerts({"alerts": [own]}, "t").incidents == ()


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("page", Severity.CRITICAL), ("INFO", Severity.INFO), ("", Severity.WARNING), ("odd", Severity.WARNING)],
)
def test_severities_of_others_are_read_as_ours(severity: str, expected: Severity) -> None:
    assert parse_alerts({"alerts": [alert(severity=severity)]}, "t").incidents[0].severity is expected


def test_an_alert_that_names_no_service_is_rejected() -> None:
    batch = parse_alerts({"alerts": [alert(service=""), alert(service="", job="node")]}, "t")
    assert [incident.service for incident in batch.incidents] == ["node"]
    assert batch.rejected is not None
    assert "none of the labels" in batch.rejected["reason"][0]
