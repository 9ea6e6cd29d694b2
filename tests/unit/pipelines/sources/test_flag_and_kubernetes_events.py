"""Feature flags as config changes; events of Kubernetes as deploys and incidents."""

from datetime import timedelta
from typing import Any

import pytest
from fakes.sender_bodies import FLAGS, LATER, NOON, feature_flag, flagsmith, kubernetes, launchdarkly, unleash

from core.batch import Batch
from core.domain import EventKind, Severity
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook

Body = dict[str, Any]


#: The state after an override for one user.
FOR_ONE_USER = flagsmith()["data"]["new_state"] | {"identity": "u1"}


def parse(body: object, webhook: Webhook = Webhook.DEPLOYS) -> Batch:
    batch = parse_webhook(webhook, body, "t")
    assert batch.rejected is None or batch.rejected["reason"].to_list() == []
    return batch


@pytest.mark.parametrize("sender", FLAGS)
def test_a_changed_flag_is_a_config_change_of_its_service(sender: str) -> None:
    (event,) = parse(FLAGS[sender]()).events
    assert (event.kind, event.at) == (EventKind.CONFIG_CHANGE, NOON)
    assert event.service == ("*" if sender == "flagsmith" else "checkout")
    assert event.title.startswith("flag new-cart: ")


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (launchdarkly(), "flag new-cart: turned on the flag in production"),
        (unleash(), "flag new-cart: enabled in production"),
        (flagsmith(), "flag new-cart: enabled in production"),
        (flagsmith() | {"event_type": "FLAG_DELETED", "data": flagsmith()["data"] | {"new_state": None}},
         "flag new-cart: deleted in production"),
        (feature_flag(), "flag new-cart: changed to on"),
        ({"flagKey": "x", "value": False, "time": "2026-03-02T12:00:00Z"}, "flag x: changed to False"),
    ],
)  # fmt: skip
def test_the_title_tells_what_was_done_to_the_flag(body: Body, title: str) -> None:
    assert [event.title for event in parse(body).events] == [title]


def test_a_flag_that_names_no_service_counts_for_all() -> None:
    bodies = (
        launchdarkly() | {"accesses": [{"resource": "proj/default:env/production:flag/new-cart"}]},
        unleash() | {"tags": None},
        {name: value for name, value in feature_flag().items() if name != "service"},
    )
    assert [event.service for body in bodies for event in parse(body).events] == ["*"] * 3


@pytest.mark.parametrize(
    "body",
    [
        launchdarkly() | {"kind": "environment", "name": None},
        launchdarkly() | {"accesses": [{"action": "updateDescription", "resource": "proj/a:env/b:flag/c"}]},
        unleash() | {"type": "feature-metadata-updated"},
        unleash() | {"type": "change-request-created"},
        flagsmith() | {"data": flagsmith()["data"] | {"new_state": FOR_ONE_USER}},
    ],
)  # fmt: skip
def test_a_change_that_leaves_the_behaviour_alone_is_no_event(body: Body) -> None:
    assert parse(body).events == ()


def of(kind: str, name: str, reason: str, message: str = "", **labels: str) -> Body:
    subject = {"kind": kind, "name": name, "namespace": "shop", "labels": labels or None}
    last = {"lastTimestamp": "2026-03-02T12:30:00Z", "count": 7}
    return kubernetes() | {"reason": reason, "message": message, "involvedObject": subject} | last


@pytest.mark.parametrize("webhook", Webhook)
@pytest.mark.parametrize("message", ["to 3", "to 1 from 0"])
def test_a_rollout_is_a_deploy_at_both_addresses(webhook: Webhook, message: str) -> None:
    body = kubernetes() | {"message": f"Scaled up replica set checkout-7d9f8b6c5d {message}"}
    for posted in (
        body,
        {"verb": "ADDED", "event": body},
        {"verb": "UPDATED", "event": body, "old_event": body},
    ):
        (event,) = parse(posted, webhook).events
        assert (event.service, event.kind, event.version) == ("checkout", EventKind.DEPLOY, "7d9f8b6c5d")


@pytest.mark.parametrize(
    "message",
    [
        "Scaled up replica set checkout-7d9f8b6c5d to 5 from 3",
        "Scaled down replica set checkout-7d9f8b6c5d to 0 from 3",
        "Scaled up replica set checkout-7d9f8b6c5d to 0",
        "",
    ],
)
def test_other_scaling_is_no_deploy(message: str) -> None:
    assert parse(kubernetes() | {"message": message}).events == ()


@pytest.mark.parametrize(
    ("body", "service", "severity"),
    [
        (of("Pod", "checkout-7d9f8b6c5d-x2v4k", "BackOff"), "checkout", Severity.WARNING),
        (of("Pod", "db-0", "Evicted"), "db", Severity.WARNING),
        (of("Pod", "agent-x2v4k", "OOMKilling"), "agent", Severity.CRITICAL),
        (of("Pod", "web-front", "BackOff"), "web-front", Severity.WARNING),
        (of("Pod", "c-1", "BackOff", **{"app.kubernetes.io/name": "cart"}), "cart", Severity.WARNING),
        (of("Node", "node1", "NodeNotReady", app="x"), "node1", Severity.CRITICAL),
        (of("Node", "node1", "SystemOOM"), "node1", Severity.CRITICAL),
    ],
)
def test_a_failure_is_an_incident_from_its_first_to_its_last_repetition(
    body: Body, service: str, severity: Severity
) -> None:
    (incident,) = parse(body, Webhook.ALERTS).incidents
    assert (incident.service, incident.type, incident.severity) == (service, body["reason"], severity)
    assert (incident.start, incident.end) == (NOON, LATER)


@pytest.mark.parametrize(
    "body",
    [
        of("Node", "node1", "NodeReady"),
        of("Pod", "checkout-7d9f8b6c5d-x2v4k", "NodeNotReady"),
        of("Pod", "checkout-7d9f8b6c5d-x2v4k", "Pulled"),
    ],
)
def test_other_events_change_nothing(body: Body) -> None:
    batch = parse(body, Webhook.ALERTS)
    assert (batch.events, batch.incidents) == ((), ())


def test_an_event_of_the_newer_api_is_read() -> None:
    newer = {
        "metadata": {"name": "x", "creationTimestamp": "2026-03-02T12:00:01Z"},
        "regarding": {"kind": "Pod", "name": "db-0"},
        "reason": "BackOff",
        "note": "Back-off restarting failed container",
        "eventTime": "2026-03-02T12:00:00.000000Z",
        "series": {"count": 3, "lastObservedTime": "2026-03-02T12:01:00.000000Z"},
        "reportingController": "kubelet",
    }
    (incident,) = parse(newer, Webhook.ALERTS).incidents
    assert (incident.start, incident.end) == (NOON, NOON + timedelta(minutes=1))


def test_an_event_without_a_time_is_one_dead_letter() -> None:
    body = of("Pod", "db-0", "BackOff") | {"firstTimestamp": None, "metadata": {}}
    batch = parse_webhook(Webhook.ALERTS, body, "t")
    assert batch.rejected is not None
    assert "firstTimestamp" in batch.rejected["reason"].item()
