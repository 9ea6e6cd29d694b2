from datetime import UTC, datetime
from typing import Any

import pytest

from core.batch import Batch
from core.domain import Event, EventKind, Incident, Severity
from core.errors import InputError
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


#: Texts that cannot be stored, or that nobody can read; and times that no database holds.
BAD_TEXTS = ["a\0b", "\ud800", "a" * 8_192, "a" * 1_000_000]
BAD_TIMES = [2**70, -(2**70), 1e300, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", [], {}, True]


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=["NUL", "surrogate", "8 KB", "1 MB"])
@pytest.mark.parametrize("field", ["service", "title", "version", "kind"])
def test_a_text_that_cannot_be_stored_rejects_its_entry_only(field: str, bad: str) -> None:
    batch = parse_deploys([PLAIN | {field: bad}, PLAIN], "t")
    assert batch.events == (DEPLOY,)
    assert batch.rejected is not None
    assert batch.rejected.height == 1
    assert batch.rejected["reason"][0].isprintable()
    assert len(batch.rejected["reason"][0]) < 500


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=["NUL", "surrogate", "8 KB", "1 MB"])
@pytest.mark.parametrize("label", ["service", "alertname"])
def test_an_alert_with_a_name_that_cannot_be_stored_rejects_itself_only(label: str, bad: str) -> None:
    batch = parse_alerts({"alerts": [alert(**{label: bad}), alert()]}, "t")
    assert [one.service for one in batch.incidents] == ["checkout"]
    assert batch.rejected is not None
    assert batch.rejected.height == 1


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=["NUL", "surrogate", "8 KB", "1 MB"])
@pytest.mark.parametrize("label", ["severity", "other"])
def test_a_label_that_is_not_stored_rejects_no_alert(label: str, bad: str) -> None:
    batch = parse_alerts({"alerts": [alert(**{label: bad})]}, "t")
    assert len(batch.incidents) == 1


@pytest.mark.parametrize("bad", BAD_TIMES)
@pytest.mark.parametrize("field", ["at", "until"])
def test_a_time_outside_the_calendar_rejects_its_entry_only(field: str, bad: object) -> None:
    batch = parse_deploys([PLAIN | {field: bad}, PLAIN], "t")
    assert batch.events == (DEPLOY,)
    assert batch.rejected is not None
    assert batch.rejected.height == 1


@pytest.mark.parametrize(
    "body",
    [
        github() | {"deployment": None},
        github() | {"deployment": "v2"},
        github() | {"deployment": [1, 2]},
        github() | {"repository": []},
        github() | {"repository": {"name": {"a": 1}}},
        github() | {"repository": {"name": "a\0b"}},
        github() | {"deployment_status": "success"},
        github() | {"deployment": {"ref": 1, "created_at": "2026-03-02T11:58:00Z"}},
        {"zen": "Keep it logically awesome.", "hook_id": 1, "repository": {"name": "checkout"}},
    ],
)
def test_a_body_of_github_in_another_shape_is_a_dead_letter(body: object) -> None:
    batch = parse_deploys(body, "t")
    assert batch.events == ()
    assert batch.rejected is not None
    assert batch.rejected.height == 1


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
