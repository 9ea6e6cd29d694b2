"""Receivers that are busy, broken, slow or picky. `test_receiver_outage.py` has those that misbehave for a while."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from fakes.platform import platform_of
from fakes.receiver import Receiver, Reply, Request
from fakes.signals import NOON, make_signal
from pydantic import SecretStr

from core.alerts import AlertSink
from core.clock import FixedClock
from core.errors import RetryLaterError, UnavailableError
from core.outbox import DeliveryLane
from core.ports import SignalSink
from pipelines.common.tenant_platform import Platform
from pipelines.sinks import posting
from pipelines.sinks.alertmanager import AlertmanagerSink
from pipelines.sinks.alerts import Links
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.posting import RejectedError
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver
from pipelines.watch.sink_delivery import _MAX_REJECTED_IN_A_ROW

START = NOON + timedelta(hours=1)
PATHS = ("/hook", "/api/v2/alerts", "/slack", "/pager")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as up:
        yield up


def platform_at(store: Store, receiver: Receiver, now: datetime) -> Platform:
    clock, links = FixedClock(now), Links("http://forewarn")
    sinks: tuple[SignalSink | AlertSink, ...] = (
        WebhookSink(receiver.url + PATHS[0], None, clock),
        AlertmanagerSink(receiver.url, links, clock),
        SlackSink(SecretStr(receiver.url + PATHS[2]), links, clock),
        PagerDutySink(SecretStr("key"), links, clock, url=receiver.url + PATHS[3]),
    )
    return platform_of(store, clock, sinks=sinks)


def ids_of(request: Request) -> list[str]:
    """The ids of the messages in a post; a receiver that drops repeats goes by them."""
    content = request.json()
    if request.path == "/pager":
        return [content["dedup_key"]]
    if request.path == "/slack":
        return [block["elements"][0]["text"].split("`")[1] for block in content["blocks"][1::3]]
    if request.path == "/hook":
        return [event["id"] for event in (content if isinstance(content, list) else [content])]
    now = [alert for alert in content if alert["labels"]["severity"] == "warning"]
    return [alert["labels"]["signal_id"] for alert in now]


def test_a_pause_that_a_receiver_asks_for_is_shown_and_kept_by_other_processes(
    store: Store, receiver: Receiver
) -> None:
    store.signals.upsert([make_signal("a", tenant=store.tenant)])
    receiver.reply_to = lambda _: Reply(429, {"Retry-After": "120"}, b"slow down")
    report = deliver(platform_at(store, receiver, START))
    assert report.sinks["slack"].error.startswith(
        "slack answered HTTP 429: slow down; the next request is due at"
    )
    posts = len(receiver.attempts)
    store.signals.upsert([make_signal("b", service="cart", tenant=store.tenant)])
    again = deliver(platform_at(store, receiver, START + timedelta(seconds=119)))
    assert len(receiver.attempts) == posts
    assert "slow down" in again.errors["webhook"]
    state = store.deliveries.sink_states()["webhook"]
    assert state.failing_since == START
    assert state.retry_at is not None
    assert abs(state.retry_at - START - timedelta(seconds=120)) < timedelta(seconds=1)


@pytest.mark.parametrize("path", PATHS)
def test_one_rejection_discards_no_others(store: Store, receiver: Receiver, path: str) -> None:
    names = [f"s{n}" for n in range(12)]
    store.signals.upsert([make_signal(name, service=f"svc-{name}", tenant=store.tenant) for name in names])

    def picky(request: Request) -> Reply:
        bad = request.path == path and "s7" in ids_of(request)
        return Reply(400, body=b'{"error": "label svc-s7 is too long"}') if bad else Reply()

    receiver.reply_to = picky
    report = deliver(platform_at(store, receiver, START))
    got = [one for request in receiver.requests if request.path == path for one in ids_of(request)]
    assert sorted(set(got)) == sorted(set(names) - {"s7"})
    (sink,) = [name for name, one in report.sinks.items() if one.error]
    assert report.sinks[sink].failed == 1
    (count,) = [one for one in store.deliveries.counts([]) if one.failed]
    assert (count.sink, count.lane) == (sink, DeliveryLane.NEW)
    assert "label svc-s7 is too long" in count.error
    # Reminders are picky too: the other open alerts are kept alive.
    deliver(platform_at(store, receiver, START + timedelta(hours=1)))
    if path == "/api/v2/alerts":
        reminded = {one for request in receiver.requests[-4:] for one in ids_of(request)}
        assert reminded >= set(names) - {"s7"}


def test_a_receiver_that_rejects_everything_gets_few_posts_and_keeps_the_rest_for_later(
    store: Store, receiver: Receiver
) -> None:
    store.signals.upsert([make_signal(f"s{n}", service=f"svc-{n}", tenant=store.tenant) for n in range(45)])
    receiver.reply_to = lambda _: Reply(400, body=b"no")
    report = deliver(platform_at(store, receiver, START))
    for path in PATHS:
        posts = [request for request in receiver.attempts if request.path == path]
        assert len(posts) <= 3 * _MAX_REJECTED_IN_A_ROW
    assert all(one.failed == 45 for one in report.sinks.values())
    receiver.reply_to = lambda _: Reply()
    deliver(platform_at(store, receiver, START + timedelta(minutes=5)))
    assert all(one.waiting + one.failed == 0 for one in store.deliveries.counts([]))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401), UnavailableError),
        (Reply(404), UnavailableError),
        (Reply(413), RejectedError),
        (Reply(429, {"Retry-After": "7"}), RetryLaterError),
        (Reply(drip=True), UnavailableError),
        (Reply(500, body=b"x" * 5_000_000), UnavailableError),
    ],
)
def test_each_answer_is_its_own_error(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, reply: Reply, error: type[Exception]
) -> None:
    monkeypatch.setattr(posting, "TOTAL_S", 0.5)
    receiver.reply_to = lambda _: reply
    with pytest.raises(UnavailableError) as caught:
        WebhookSink(receiver.url).send([make_signal()])
    assert type(caught.value) is error
    assert len(str(caught.value)) < 600
