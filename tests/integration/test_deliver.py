from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from fakes.platform import FakePager, FakeSink, advanced, keep, platform_of, watched
from fakes.receiver import Receiver
from fakes.signals import NOON, make_signal
from pydantic import SecretStr

from core.clock import FixedClock
from core.domain import FilterResult, Severity
from core.outbox import LONGEST_RETRY_S
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.alerts import Links
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver
from pipelines.watch.outbox import retry_after
from pipelines.watch.sink_delivery import SinkReport

START = NOON + timedelta(hours=1)
#: When the cycle before began.
BEFORE = START - timedelta(minutes=5)
OVER = NOON + timedelta(minutes=50)


@pytest.fixture
def platform(store: Store, machine: FakeSink, pager: FakePager) -> Platform:
    return platform_of(store, FixedClock(START), sinks=(machine, pager))


def test_a_signal_that_passed_the_filters_is_sent_once_and_a_suppressed_one_never(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    failed = (FilterResult(name="predictable", passed=False, reason="a random walk"),)
    keep(platform, make_signal("good"), make_signal("suppressed", filters=failed))
    assert deliver(platform).enqueued == 2
    again = deliver(platform)
    assert (machine.ids, pager.ids) == (["good"], ["good"])
    assert (again.enqueued, again.delivered) == (0, {"machine": 0, "pager": 0})


def test_a_receiver_that_is_down_loses_nothing_and_delays_no_other(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    machine.is_down = True
    keep(platform, make_signal("a"), make_signal("b", service="search"))
    report = deliver(platform)
    assert report.sinks["machine"] == SinkReport(failed=2, error="machine does not answer")
    assert sorted(pager.ids) == ["a", "b"]
    machine.is_down = False
    assert deliver(platform).delivered["machine"] == 0, "not before the time to try again has come"
    assert deliver(advanced(platform, seconds=30)).delivered["machine"] == 2
    assert sorted(machine.ids) == ["a", "b"]


def test_the_wait_doubles_with_every_failure(platform: Platform, machine: FakeSink) -> None:
    machine.is_down = True
    keep(platform, make_signal())
    deliver(platform)
    deliver(advanced(platform, seconds=30))
    machine.is_down = False
    assert deliver(advanced(platform, seconds=30 + 59)).delivered["machine"] == 0
    assert deliver(advanced(platform, seconds=30 + 60)).delivered["machine"] == 1


def test_the_wait_has_an_end() -> None:
    assert [retry_after(n).total_seconds() for n in (0, 1, 2, 7, 10_000)] == [
        30,
        60,
        120,
        3600,
        LONGEST_RETRY_S,
    ]


def test_one_rejected_signal_does_not_block_the_others(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    machine.refuses = pager.refuses = {"bad"}
    keep(platform, make_signal("a"), make_signal("bad", service="search"), make_signal("c", service="web"))
    report = deliver(platform)
    assert sorted(machine.ids) == sorted(pager.ids) == ["a", "c"]
    assert report.failed == {"machine": 1, "pager": 1}


def test_an_end_is_sent_once_after_the_beginning(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, make_signal())
    deliver(platform)
    keep(platform, make_signal(ended_at=OVER))
    deliver(platform)
    deliver(platform)
    for sink in (machine, pager):
        assert [signal.ended_at for signal in sink.got] == [None, OVER]


def test_a_signal_that_ended_before_its_first_delivery_is_sent_once(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    watched(platform, BEFORE)
    keep(platform, make_signal(ended_at=OVER))
    deliver(platform)
    deliver(platform)
    assert (machine.ids, pager.ids) == (["s1"], ["s1"])


def test_imported_history_alerts_nobody_and_machines_get_it(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, make_signal(ended_at=OVER))
    later = advanced(platform, days=2)
    deliver(later)
    deliver(later)
    assert (machine.ids, pager.ids, pager.reminders) == (["s1"], [], [])


def test_what_a_receiver_missed_while_it_was_down_is_sent_however_late(
    platform: Platform, pager: FakePager
) -> None:
    watched(platform, BEFORE)
    pager.is_down = True
    keep(platform, make_signal(ended_at=OVER))
    deliver(platform)
    pager.is_down = False
    deliver(advanced(platform, days=9))
    assert pager.ids == ["s1"]


def test_people_get_one_alert_for_an_incident_and_machines_get_every_signal(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, *(make_signal(f"s{i}", minute=i) for i in range(3)))
    report = deliver(platform)
    assert machine.ids == ["s0", "s1", "s2"]
    assert pager.ids == ["s0"]
    assert report.sinks["pager"] == SinkReport(delivered=3, sent=1)


def test_an_incident_along_the_graph_is_one_alert(platform: Platform, pager: FakePager) -> None:
    keep(platform, make_signal("a", "web"), make_signal("b", "db", 5))
    deliver(platform, edges=(("web", "db"),))
    assert pager.ids == ["a"]


def test_a_signal_that_joins_a_known_incident_sends_no_alert_unless_it_is_worse(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, make_signal("s2", minute=5))
    assert deliver(platform).sinks["pager"] == SinkReport(delivered=1, sent=0)
    keep(platform, make_signal("s0", minute=-5, severity=Severity.CRITICAL))
    deliver(platform)
    assert [(alert.signal_id, alert.severity) for alert in pager.got] == [
        ("s1", Severity.WARNING),
        ("s1", Severity.CRITICAL),
    ]


def test_a_signal_that_becomes_critical_after_its_delivery_is_sent_once_more(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    for severity in (
        Severity.WARNING,
        Severity.CRITICAL,
        Severity.CRITICAL,
        Severity.WARNING,
        Severity.CRITICAL,
    ):
        keep(platform, make_signal(severity=severity))
        deliver(platform)
    for sink in (machine, pager):
        assert [signal.severity for signal in sink.got] == [Severity.WARNING, Severity.CRITICAL]


def test_a_signal_that_was_critical_from_the_start_is_sent_once(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, make_signal(severity=Severity.CRITICAL))
    deliver(platform)
    deliver(platform)
    assert (machine.ids, pager.ids) == (["s1"], ["s1"])


def test_people_learn_once_that_an_incident_is_critical_and_machines_get_each_signal(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"), make_signal("s2", minute=5))
    deliver(platform)
    for name, minute in (("s2", 5), ("s1", 0)):
        keep(platform, make_signal(name, minute=minute, severity=Severity.CRITICAL))
        deliver(platform)
    assert [(alert.signal_id, alert.severity) for alert in pager.got] == [
        ("s1", Severity.WARNING),
        ("s1", Severity.CRITICAL),
    ]
    assert machine.ids == ["s1", "s2", "s2", "s1"]


def test_people_learn_that_an_incident_is_critical_when_another_signal_joins_in_the_same_run(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, *(make_signal(name, severity=Severity.CRITICAL) for name in ("s1", "s2")))
    deliver(platform)
    assert [alert.severity for alert in pager.got] == [Severity.WARNING, Severity.CRITICAL]


def test_a_receiver_that_was_down_learns_later_that_a_signal_became_critical(
    platform: Platform, machine: FakeSink
) -> None:
    keep(platform, make_signal())
    deliver(platform)
    machine.is_down = True
    keep(platform, make_signal(severity=Severity.CRITICAL))
    assert deliver(platform).failed["machine"] == 1
    machine.is_down = False
    deliver(advanced(platform, seconds=30))
    assert [signal.severity for signal in machine.got] == [Severity.WARNING, Severity.CRITICAL]


def test_a_run_that_is_killed_after_sending_sends_again_under_the_same_id(
    platform: Platform, machine: FakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(platform, make_signal())

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(platform.store.deliveries, "delivered", killed)
        with pytest.raises(KeyboardInterrupt):
            deliver(platform)
    deliver(platform)
    assert machine.ids == ["s1", "s1"]


def test_tenants_do_not_send_each_others_signals(platform: Platform, machine: FakeSink, pool: Pool) -> None:
    other = platform_of(Store(pool, platform.tenant + "_other"), platform.clock, sinks=(machine,))
    keep(platform, make_signal("mine"))
    keep(other, make_signal("theirs"))
    deliver(other)
    assert machine.ids == ["theirs"]


def test_progress_is_reported(platform: Platform) -> None:
    calls: list[tuple[str, int, int]] = []
    deliver(platform, progress=lambda *step: calls.append(step))
    assert calls == [("deliver", 0, 2), ("deliver", 1, 2), ("deliver", 2, 2)]


def test_real_receivers_that_go_down_and_come_back_get_everything(store: Store) -> None:
    with Receiver() as receiver:
        platform = platform_of(store, FixedClock(START))
        links = Links("http://forewarn")
        sinks = (
            WebhookSink(receiver.url + "/hook"),
            SlackSink(SecretStr(receiver.url + "/slack"), links, platform.clock),
            PagerDutySink(SecretStr("key"), links, platform.clock, url=receiver.url + "/pager"),
        )
        platform = replace(platform, sinks=sinks)
        receiver.down()
        keep(platform, make_signal("a"), make_signal("b", service="search"))
        assert deliver(platform).failed == {"webhook": 2, "slack": 2, "pagerduty": 2}
        receiver.up()
        receiver.answers = [503]
        assert deliver(advanced(platform, seconds=30)).failed["webhook"] == 2
        deliver(advanced(platform, seconds=90))
        paths = sorted(request.path for request in receiver.requests)
        assert paths == ["/hook", "/pager", "/pager", "/slack", "/slack"]


@pytest.mark.parametrize("retry_at", [None, NOON + timedelta(hours=1, minutes=2)])
def test_a_clock_that_goes_back_delays_no_delivery(
    platform: Platform, machine: FakeSink, retry_at: datetime | None
) -> None:
    machine.is_down = True
    machine.busy_until = retry_at
    keep(platform, make_signal())
    deliver(platform)
    machine.is_down = False
    deliver(platform)
    assert machine.ids == [], "the next attempt is not due yet"
    back = advanced(platform, hours=-1)
    deliver(back)
    deliver(back)
    deliver(platform)
    assert machine.ids == ["s1"]
