import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from fakes.receiver import Receiver
from fakes.signals import EXPIRES, NOON, make_alert, make_signal
from pydantic import SecretStr, TypeAdapter

from core.alerts import Alert, AlertSink
from core.clock import FixedClock
from core.domain import Event, EventKind, Factor, FilterResult, ModelRef, Series, Severity, Signal, SignalKind
from core.errors import UnavailableError
from core.ports import SignalSink
from core.resizes import is_resize_of, resize_event
from models.words.page import reasons
from pipelines.sinks.alertmanager import AlertmanagerSink, labels
from pipelines.sinks.alerts import Links
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.posting import RejectedError
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink, cloud_event

NOW = NOON + timedelta(minutes=30)
CLOCK = FixedClock(NOW)
LINKS = Links("http://forewarn", "https://runbooks/")
SECRET = "T000-B000-do-not-tell"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as up:
        yield up


def webhook(url: str) -> SignalSink:
    return WebhookSink(f"{url}/{SECRET}", SecretStr(SECRET))


def alertmanager(url: str) -> AlertSink:
    return AlertmanagerSink(url, LINKS, CLOCK)


def slack(url: str) -> AlertSink:
    return SlackSink(SecretStr(f"{url}/{SECRET}"), LINKS, CLOCK)


def pagerduty(url: str) -> AlertSink:
    return PagerDutySink(SecretStr(SECRET), LINKS, CLOCK, url=url)


SinkTo = Callable[[str], SignalSink] | Callable[[str], AlertSink]


def send(sink: SignalSink | AlertSink, *signals: Signal) -> None:
    """Send signals: to people, each as an alert of its own."""
    if isinstance(sink, AlertSink):
        sink.send([Alert(identity=one, about=one, expires_at=EXPIRES) for one in signals])
    else:
        sink.send(signals)


EVERY_SINK = pytest.mark.parametrize("sink_to", [webhook, alertmanager, slack, pagerduty])


@EVERY_SINK
def test_nothing_to_send_posts_nothing(receiver: Receiver, sink_to: SinkTo) -> None:
    send(sink_to(receiver.url))
    assert receiver.requests == []


@EVERY_SINK
def test_a_receiver_that_is_down_is_unavailable_and_no_secret_is_told(
    receiver: Receiver, sink_to: SinkTo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = sink_to(receiver.url)
    send(sink, make_signal())
    receiver.down()
    with pytest.raises(UnavailableError, match=f"{sink.name} does not answer") as caught:
        send(sink, make_signal())
    told = [caplog.text, str(caught.value), repr(caught.value), repr(sink), repr(vars(sink))]
    assert not any(SECRET in text for text in told)


@EVERY_SINK
@pytest.mark.parametrize(
    ("status", "error"), [(500, UnavailableError), (302, UnavailableError), (400, RejectedError)]
)
def test_a_no_of_the_receiver_is_an_error(
    receiver: Receiver, sink_to: SinkTo, status: int, error: type[Exception]
) -> None:
    receiver.answers = [status]
    with pytest.raises(error, match=str(status)):
        send(sink_to(receiver.url), make_signal())


@EVERY_SINK
def test_an_address_that_is_none_is_unavailable(receiver: Receiver, sink_to: SinkTo) -> None:
    with pytest.raises(UnavailableError):
        send(sink_to("nowhere:// x"), make_signal())


def test_the_sinks_for_people_are_alert_sinks_and_the_others_are_not() -> None:
    assert all(isinstance(make("http://x"), AlertSink) for make in (alertmanager, slack, pagerduty))
    assert not isinstance(webhook("http://x"), AlertSink)


def test_one_signal_is_one_cloud_event_signed_over_its_body(receiver: Receiver) -> None:
    WebhookSink(receiver.url, SecretStr("key")).send([make_signal()])
    (request,) = receiver.requests
    event = request.json()
    assert request.headers["Content-Type"].startswith("application/cloudevents+json")
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject")} == {
        "specversion": "1.0",
        "id": "s1",
        "source": "/forewarn/t",
        "type": "io.forewarn.anomaly.raised",
        "subject": "checkout/latency",
    }
    signature = hmac.new(b"key", request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Forewarn-Signature"] == f"sha256={signature}"


def test_several_signals_are_a_batch_and_without_a_secret_unsigned(receiver: Receiver) -> None:
    WebhookSink(receiver.url).send([make_signal("a"), make_signal("b")])
    (request,) = receiver.requests
    assert request.headers["Content-Type"].startswith("application/cloudevents-batch+json")
    assert [event["id"] for event in request.json()] == ["a", "b"]
    assert "X-Forewarn-Signature" not in request.headers


def test_a_cloud_event_holds_the_whole_signal_and_the_end_is_other_news() -> None:
    over = make_signal(ended_at=NOW, model=ModelRef(name="detector", version=3, run_id="r"))
    event = json.loads(json.dumps(cloud_event(over)))
    assert event["id"] == "s1-ended"
    assert event["type"] == "io.forewarn.anomaly.ended"
    assert TypeAdapter(Signal).validate_python(event["data"]) == over


def test_the_json_of_a_resize_names_its_series_and_that_of_an_older_version_is_still_read() -> None:
    disk = Series(tenant="t", service="web1", metric="disk_used_ratio", labels={"mount": "/var"})
    resize = resize_event(disk, "size", 1e11, 2e11, unit="bytes", at=NOON)
    event = json.loads(json.dumps(cloud_event(make_signal(nearby_events=(resize,)))))
    (sent,) = event["data"]["nearby_events"]
    assert (sent["metric"], sent["labels"]) == ("disk_used_ratio", {"mount": "/var"})
    stored = TypeAdapter(Event)
    assert stored.validate_python(sent) == resize
    old = {name: value for name, value in sent.items() if name not in ("metric", "labels")}
    assert not is_resize_of(stored.validate_python(old), disk)


def test_a_cloud_event_carries_the_old_field_names_for_one_release() -> None:
    filters = (FilterResult(name="budget", passed=False, reason="over"),)
    event = json.loads(json.dumps(cloud_event(make_signal(filters=filters))))
    assert event["data"]["filters"] == [{"name": "budget", "passed": False, "reason": "over"}]
    assert event["data"]["gates"] == [{"gate": "budget", "passed": False, "reason": "over"}]


def test_a_cloud_event_that_it_is_critical_is_other_news_too() -> None:
    ids = [cloud_event(make_signal(severity=severity))["id"] for severity in Severity]
    assert ids == ["s1", "s1", "s1-critical"]


def test_an_alert_has_stable_labels_and_says_what_where_and_why(receiver: Receiver) -> None:
    deploy = Event(tenant="t", service="checkout", kind=EventKind.DEPLOY, at=NOON, version="2.3.1")
    alertmanager(receiver.url).send(
        [
            make_alert(
                nearby_events=(deploy,),
                value=3.0,
                factors=(Factor(name="x", value=1, contribution=1, text="p99 up 8x"),),
            )
        ]
    )
    (request,) = receiver.requests
    assert request.path == "/api/v2/alerts"
    (alert,) = request.json()
    assert alert == {
        "labels": {
            "alertname": "ForewarnAnomaly",
            "tenant": "t",
            "service": "checkout",
            "metric": "latency",
            "severity": "warning",
            "signal_id": "s1",
        },
        "annotations": {
            "summary": "checkout: latency at 3, for 30 min",
            "description": "p99 up 8x\ndeploy at 12:00 UTC: checkout 2.3.1",
            "runbook_url": "https://runbooks/anomaly?service=checkout",
        },
        "startsAt": NOON.isoformat(),
        "endsAt": EXPIRES.isoformat(),
        "generatorURL": "http://forewarn/#signal=s1",
    }


def test_an_alert_that_got_more_severe_ends_the_one_that_was_sent_and_no_other(receiver: Receiver) -> None:
    alertmanager(receiver.url).send([make_alert(severity=Severity.CRITICAL, replaces=Severity.INFO)])
    posted = {one["labels"]["severity"]: one["endsAt"] for one in receiver.requests[0].json()}
    assert posted == {"critical": EXPIRES.isoformat(), "info": NOON.isoformat()}


def test_an_alert_keeps_its_labels_while_it_is_about_another_signal(receiver: Receiver) -> None:
    first = make_signal("s1", labels={"host": "web1"})
    disk = make_signal("s2", "db", 20, metric="disk_used_ratio", labels={"mount": "/var"}, value=0.99)
    alertmanager(receiver.url).send([Alert(identity=first, about=disk, expires_at=EXPIRES)])
    (alert,) = receiver.requests[0].json()
    assert alert["labels"] == labels(first, Severity.WARNING)
    assert alert["annotations"]["summary"].startswith("db")
    assert alert["startsAt"] == disk.started_at.isoformat()
    assert alert["generatorURL"] == "http://forewarn/#signal=s2"


def test_an_alert_that_is_over_ends_when_the_trouble_did(receiver: Receiver) -> None:
    ended = NOON + timedelta(minutes=10)
    alertmanager(receiver.url).send([make_alert(ended_at=ended, severity=Severity.CRITICAL)])
    (alert,) = receiver.requests[0].json()
    assert alert["endsAt"] == ended.isoformat()


@pytest.mark.parametrize("kind", list(SignalKind))
def test_labels_change_with_nothing_but_severity(kind: SignalKind) -> None:
    young = make_signal(kind=kind)
    old = make_signal(kind=kind, value=4.0, summary="worse", ended_at=NOW)
    assert labels(young, Severity.WARNING) == labels(old, Severity.WARNING)


def test_slack_is_told_in_blocks_and_cannot_be_made_to_shout(receiver: Receiver) -> None:
    slack(receiver.url).send([make_alert(service="<!channel>&co")])
    message = receiver.requests[0].json()
    section, context, divider = message["blocks"]
    assert section["text"]["text"].startswith(":warning: *&lt;!channel&gt;&amp;co is slow*")
    assert "<!channel>" not in json.dumps(message)
    assert "`s1`" in context["elements"][0]["text"]
    assert divider["type"] == "divider"


def test_slack_gets_no_more_blocks_at_once_than_it_takes(receiver: Receiver) -> None:
    slack(receiver.url).send([make_alert(f"s{i}") for i in range(40)])
    sizes = [len(request.json()["blocks"]) for request in receiver.requests]
    assert sum(sizes) == 120
    assert max(sizes) <= 50


def test_pagerduty_drops_repeats_by_the_signal_and_is_told_the_end(receiver: Receiver) -> None:
    pagerduty(receiver.url).send([make_alert(severity=Severity.CRITICAL), make_alert(ended_at=NOW)])
    trigger, resolve = (request.json() for request in receiver.requests)
    assert trigger["event_action"] == "trigger"
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["source"] == "checkout"
    assert resolve == {"routing_key": SECRET, "dedup_key": "s1", "event_action": "resolve"}
    assert trigger["dedup_key"] == "s1"


def test_links_of_the_signal_itself_come_first() -> None:
    own = make_signal(links={"signal": "http://own", "runbook": "http://run"})
    assert (LINKS.signal(own), LINKS.runbook(own)) == ("http://own", "http://run")
    assert Links("http://forewarn").runbook(make_signal()) == ""


def test_reasons_name_the_weightiest_factors_and_the_model() -> None:
    factors = tuple(Factor(name=f"f{i}", value=None, contribution=i / 10, text="") for i in range(-2, 5))
    model = ModelRef(name="detector", version=3, run_id="r1")
    assert reasons(make_signal(factors=factors, model=model)) == [
        "f4",
        "f3",
        "f-2",
        "f2",
        "by detector version 3, run r1",
    ]
