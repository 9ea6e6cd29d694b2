"""What people are told of an incident, from the alert that begins it to its end: each state once."""

from datetime import timedelta

import pytest
from fakes.platform import FakePager, FakeSink, advanced, keep, platform_of, watched
from fakes.signals import NOON, make_signal

from core.clock import FixedClock
from core.domain import Severity
from pipelines.common.tenant_platform import Platform
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver

START = NOON + timedelta(hours=1)
OVER = NOON + timedelta(minutes=50)


@pytest.fixture
def platform(store: Store, machine: FakeSink, pager: FakePager) -> Platform:
    return platform_of(store, FixedClock(START), sinks=(machine, pager))


def test_only_a_severity_that_was_sent_is_replaced(platform: Platform, pager: FakePager) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, make_signal("s2", minute=5, severity=Severity.CRITICAL))
    deliver(platform)
    keep(platform, *(make_signal(name, ended_at=OVER) for name in ("s1", "s2")))
    deliver(platform)
    assert [alert.replaces for alert in pager.alerts] == [None, Severity.WARNING, None]
    assert [alert.about.severity for alert in pager.alerts][:2] == [Severity.WARNING, Severity.CRITICAL]


def test_an_alert_keeps_its_identity_and_is_about_what_matters_most(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, make_signal("s2", minute=5, severity=Severity.CRITICAL, metric="disk"))
    deliver(platform)
    assert [(alert.identity.signal_id, alert.about.metric) for alert in pager.alerts] == [
        ("s1", "latency"),
        ("s1", "disk"),
    ]


def test_an_alert_expires_two_cycles_after_it_was_sent(platform: Platform, pager: FakePager) -> None:
    hour = timedelta(hours=1)
    for number in (1, 2):
        watched(platform, START - number * hour)
    keep(platform, make_signal())
    deliver(platform)
    assert [alert.expires_at for alert in pager.alerts] == [START + 2 * hour]


def test_the_first_cycle_tells_people_what_lasts_and_not_what_was_over_before(
    platform: Platform, machine: FakeSink, pager: FakePager
) -> None:
    keep(platform, make_signal("over", ended_at=OVER), make_signal("lasts", "search"))
    deliver(platform)
    assert sorted(machine.ids) == ["lasts", "over"]
    assert pager.ids == ["lasts"]


def test_an_end_is_told_once_and_a_signal_that_begins_after_it_tells_people_again(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, make_signal("s1", ended_at=OVER))
    deliver(platform)
    keep(platform, make_signal("short", minute=10, ended_at=OVER))
    deliver(platform)
    deliver(advanced(platform, minutes=5))
    assert [alert.about.ended_at for alert in pager.alerts] == [None, OVER], (
        "what joined and was over is no news"
    )
    keep(platform, make_signal("again", minute=20))
    deliver(advanced(platform, minutes=10))
    deliver(advanced(platform, minutes=15))
    keep(platform, make_signal("again", minute=20, ended_at=START))
    deliver(advanced(platform, minutes=20))
    deliver(advanced(platform, minutes=25))
    assert [(alert.alert_id, alert.about.ended_at) for alert in pager.alerts] == [
        ("s1", None),
        ("s1", OVER),
        ("s1", None),
        ("s1", START),
    ]


def test_people_are_told_again_when_an_incident_that_had_calmed_down_is_critical(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("mild"), make_signal("bad", minute=1, severity=Severity.CRITICAL))
    deliver(platform)
    keep(platform, make_signal("bad", minute=1, severity=Severity.CRITICAL, ended_at=OVER))
    deliver(platform)
    keep(platform, make_signal("worse", minute=20, severity=Severity.CRITICAL))
    deliver(platform)
    assert [(alert.about.signal_id, alert.replaces) for alert in pager.alerts] == [
        ("bad", None),
        ("worse", Severity.WARNING),
    ]


def test_an_alert_ends_under_its_own_id_when_the_whole_incident_has_ended(
    platform: Platform, pager: FakePager
) -> None:
    keep(platform, make_signal("s1"))
    deliver(platform)
    keep(platform, make_signal("s0", minute=-5), make_signal("s1", ended_at=OVER))
    deliver(platform)
    assert pager.ids == ["s1"]
    keep(platform, make_signal("s0", minute=-5, ended_at=OVER))
    deliver(platform)
    assert [(alert.signal_id, alert.ended_at) for alert in pager.got] == [("s1", None), ("s1", OVER)]


def test_two_alerts_that_turn_out_to_be_one_incident_both_end(platform: Platform, pager: FakePager) -> None:
    keep(platform, make_signal("a", minute=0), make_signal("c", minute=50))
    deliver(platform)
    keep(
        platform,
        *(make_signal(name, minute=m, ended_at=OVER) for name, m in (("a", 0), ("b", 25), ("c", 50))),
    )
    deliver(platform)
    assert [alert.signal_id for alert in pager.got if alert.ended_at is not None] == ["a", "c"]


def test_people_are_reminded_of_open_alerts(platform: Platform, pager: FakePager) -> None:
    keep(platform, make_signal("s1"), make_signal("s2", minute=5))
    deliver(platform)
    assert pager.reminders == []
    deliver(advanced(platform, days=20))
    assert pager.reminders == ["s1"]
    keep(platform, make_signal("s1", ended_at=OVER), make_signal("s2", minute=5, ended_at=OVER))
    deliver(advanced(platform, days=21))
    assert pager.reminders == ["s1"]
