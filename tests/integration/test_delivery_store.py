"""The outbox and the dead letters as the store keeps them."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from fakes.signals import make_signal

from core.domain import FilterResult, Signal
from core.errors import NotFoundError
from core.outbox import DeliveryLane
from pipelines.stores.store import Store

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(minutes=5)


def keep(store: Store, *signals: Signal) -> None:
    store.signals.upsert(signals)


def open_deliveries(store: Store, sink: str) -> int:
    return sum(one.waiting + one.failed for one in store.deliveries.counts([sink]) if one.sink == sink)


def test_a_delivery_stays_due_until_it_is_confirmed(store: Store) -> None:
    keep(store, make_signal("a", tenant=store.tenant), make_signal("b", minute=5, tenant=store.tenant))
    deliveries, new = store.deliveries, DeliveryLane.NEW
    assert deliveries.enqueue("webhook", new) + deliveries.enqueue("slack", new) == 4
    assert deliveries.enqueue("webhook", new) == 0
    deliveries.failed("webhook", new, ["a"], "503", T0 + STEP)
    assert [signal.signal_id for signal in deliveries.due("webhook", new, T0)] == ["b"]
    assert [signal.signal_id for signal in deliveries.due("webhook", new, T0 + STEP)] == ["a", "b"]
    assert deliveries.attempts("webhook", new) == {"a": 1, "b": 0}
    deliveries.delivered("webhook", new, ["a", "b"], alert_id="a")
    assert deliveries.due("webhook", new, T0 + STEP) == []
    assert deliveries.alert_ids("webhook") == {"a": "a", "b": "a"}
    assert (open_deliveries(store, "webhook"), open_deliveries(store, "slack")) == (0, 2)
    with pytest.raises(NotFoundError):
        deliveries.skip("webhook", new, ["nope"])


def test_a_delivery_that_is_rejected_too_often_is_given_up_until_a_person_retries(store: Store) -> None:
    keep(store, make_signal("a", tenant=store.tenant), make_signal("b", minute=5, tenant=store.tenant))
    deliveries, new = store.deliveries, DeliveryLane.NEW
    deliveries.enqueue("slack", new)
    deliveries.rejected("slack", new, ["a"], "400: bad", T0)
    assert deliveries.rejections("slack", new) == {"a": 1, "b": 0}
    assert [signal.signal_id for signal in deliveries.due("slack", new, T0)] == ["b", "a"], (
        "rejected ones last"
    )
    deliveries.rejected("slack", new, ["a"], "400: bad", None)
    (count,) = [one for one in deliveries.counts([]) if one.lane is new]
    assert (count.waiting, count.failed, count.given_up, count.error) == (1, 0, 1, "400: bad")
    assert [signal.signal_id for signal in deliveries.due("slack", new, T0)] == ["b"]
    assert deliveries.retry_given_up() == 1
    assert deliveries.rejections("slack", new) == {"b": 0, "a": 0}


def test_what_passed_the_filters_is_enqueued_once_and_its_end_after_it_was_sent(store: Store) -> None:
    failed = (FilterResult(name="baseline", passed=False, reason="1 day"),)
    keep(store, make_signal("a", tenant=store.tenant), make_signal("b", tenant=store.tenant, filters=failed))
    deliveries = store.deliveries
    assert open_deliveries(store, "slack") == 1, "it waits even if no run has put it into the outbox yet"
    assert deliveries.enqueue("slack", DeliveryLane.NEW) == 1
    assert deliveries.enqueue("slack", DeliveryLane.NEW) == 0
    keep(store, make_signal("a", tenant=store.tenant, ended_at=make_signal().started_at + STEP))
    assert deliveries.enqueue("slack", DeliveryLane.ENDED) == 0
    deliveries.delivered("slack", DeliveryLane.NEW, ["a"])
    assert open_deliveries(store, "slack") == 1
    assert deliveries.enqueue("slack", DeliveryLane.ENDED) == 1
    assert open_deliveries(store, "slack") == 1
    (ended,) = [one for one in deliveries.counts(["slack"]) if one.lane is DeliveryLane.ENDED]
    assert (ended.waiting, ended.delivered) == (1, 0)
    assert ended.since is not None


def test_dead_letters_are_counted_by_source_and_reason(store: Store) -> None:
    for source, reason in [
        ("csv:a", "value 7 contradicts 5"),
        ("csv:a", "value 8 contradicts 1e9"),
        ("csv:b", "'x'"),
    ]:
        store.dead_letters.add(source, pl.DataFrame({"row": [reason], "reason": [reason]}))
    counts = [(one.source, one.reason, one.count, one.example) for one in store.dead_letters.by_reason()]
    assert counts == [
        ("csv:a", "value … contradicts …", 2, "value 8 contradicts 1e9"),
        ("csv:b", "…", 1, "'x'"),
    ]
