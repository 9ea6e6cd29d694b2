"""`forewarn status` shows what is waiting, lagging, rejected, open and stale, with the problems among it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from fakes.platform import FakePager, FakeSink, advanced, platform_of
from fakes.ports import NoRegistry
from fakes.signals import NOON, make_signal

from core.clock import FixedClock
from core.domain import ModelRef, Series, Severity
from core.errors import UnavailableError
from core.frames import SAMPLES
from core.locks import delivery_lock
from core.settings import Settings
from core.watch_cycles import WatchCycle
from pipelines.collect.pull import pull
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status import PlatformStatus, read_status
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver

START = NOON + timedelta(hours=1)


class AllChampions(NoRegistry):
    """A registry in which every kind of model has a champion."""

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        return ModelRef(name=f"t.{kind}", version=1, run_id="r")


@pytest.fixture
def platform(store: Store) -> Platform:
    sinks = (FakeSink(), FakePager())
    return platform_of(store, FixedClock(START), registry=AllChampions(), sinks=sinks)


def states(status: PlatformStatus) -> Mapping[str, str]:
    return {part.name: part.state for part in status.parts}


def problems(platform: Platform) -> str:
    return "\n".join(read_status(platform).problems)


def sample(platform: Platform, service: str, minutes_ago: float) -> None:
    series = Series(tenant=platform.tenant, service=service, metric="latency")
    platform.store.series.register([series])
    at = platform.clock.now() - timedelta(minutes=minutes_ago)
    platform.store.samples.write(pl.DataFrame([(series.series_id, at, 1.0)], schema=SAMPLES, orient="row"))


def test_deliveries_of_all_lanes_are_counted_before_and_after_a_run(platform: Platform) -> None:
    machine, _ = platform.sinks
    assert isinstance(machine, FakeSink)
    signals = [make_signal(f"s{n}", service=f"svc{n}", tenant=platform.tenant) for n in range(19)]
    platform.store.signals.upsert(signals)
    assert states(read_status(platform))["sink machine"] == "new: 19 waiting; 0 delivered"
    deliver(platform)
    assert states(read_status(platform))["sink machine"] == "all delivered (19)"
    ended = [replace(signal, ended_at=NOON + timedelta(minutes=5)) for signal in signals]
    platform.store.signals.upsert(ended)
    assert states(read_status(platform))["sink machine"] == "ended: 19 waiting; 19 delivered"
    assert "19 signals wait for delivery to machine" in problems(platform)
    machine.is_down = True
    deliver(platform)
    status = read_status(platform)
    assert states(status)["sink machine"] == "ended: 19 failed; 19 delivered"
    assert states(status)["sink pager"] == "all delivered (38)"
    assert "machine has failed since 2026-03-02 13:00 UTC: machine does not answer" in "\n".join(
        status.problems
    )
    machine.is_down = False
    later = advanced(platform, seconds=30)
    deliver(later)
    assert states(read_status(later))["sink machine"] == "all delivered (38)"
    assert "machine" not in problems(later)


def test_given_up_deliveries_are_a_problem_with_a_remedy(platform: Platform) -> None:
    machine, _ = platform.sinks
    assert isinstance(machine, FakeSink)
    machine.refuses = {"bad"}
    platform.store.signals.upsert([make_signal(name, tenant=platform.tenant) for name in ("bad", "good")])
    for hour in range(10):
        deliver(advanced(platform, hours=hour))
    assert states(read_status(platform))["sink machine"] == "new: 1 given up; 1 delivered"
    assert "`forewarn signals send --retry`" in problems(platform)
    machine.refuses = set()
    assert platform.store.deliveries.retry_given_up() == 1
    deliver(advanced(platform, hours=11))
    assert machine.ids == ["good", "bad"]


def test_what_is_open_is_shown_with_its_start(platform: Platform) -> None:
    platform.store.signals.upsert(
        [
            make_signal("a", tenant=platform.tenant, severity=Severity.CRITICAL),
            make_signal("b", minute=2, tenant=platform.tenant),
            make_signal("c", service="cart", tenant=platform.tenant, ended_at=START),
        ]
    )
    (part,) = [one for one in read_status(platform).parts if one.name.startswith("open incident")]
    assert (part.name, part.as_of) == ("open incident of checkout", NOON)
    assert part.state == "critical: checkout is slow (and 1 more signals)"


def test_series_that_stopped_while_others_continue_are_named(platform: Platform) -> None:
    for service, minutes_ago in (("a", 1), ("b", 60), ("gone", 60 * 24 * 9)):
        sample(platform, service, minutes_ago)
    status = read_status(platform)
    assert (
        states(status)["lagging series"]
        == "1 series have no new samples; 1 have had none for more than 7 days"
    )
    assert "1 series stopped while others continue: b (1)." in status.problems


def test_dead_letters_are_counted_by_source_and_reason(platform: Platform) -> None:
    for source, reason in (
        ("csv:/a", "'x' is no number"),
        ("csv:/a", "'y' is no number"),
        ("push", "no name"),
    ):
        platform.store.dead_letters.add(source, pl.DataFrame({"row": [reason], "reason": [reason]}))
    lines = [(one.name, one.state) for one in read_status(platform).parts if "dead letters" in one.name]
    assert lines == [
        ("dead letters", "3 rows rejected"),
        ("dead letters of csv:/a", "2: … is no number"),
        ("dead letters of push", "1: no name"),
    ]
    assert "from csv:/a, push" in problems(platform), "until a day after the last one"


def test_a_configured_source_that_is_not_read_is_stale(platform: Platform) -> None:
    settings = Settings(_env_file=None, prometheus_url="http://prometheus:9090")
    configured = replace(platform, settings=settings)
    platform.store.cursors.set("csv:/once", "done")
    status = read_status(configured)
    assert states(status)["source csv:/once"] == "read on demand"
    (stale,) = [problem for problem in status.problems if "stale" in problem]
    assert stale.startswith("Source prometheus:")
    assert "it was read never" in stale


def test_a_running_delivery_is_shown_with_its_owner(platform: Platform) -> None:
    with platform.store.locks.hold(delivery_lock("machine")):
        (part,) = [one for one in read_status(platform).parts if one.name == "running deliver/machine"]
    assert "process" in part.state
    assert part.as_of is not None


def test_a_watch_cycle_that_takes_too_long_is_a_problem_that_names_the_slowest_step(
    platform: Platform,
) -> None:
    store, now = platform.store, platform.clock.now()
    store.watch_cycles.add(
        WatchCycle(at=now - timedelta(minutes=15), step_seconds={"pulled": 2.0, "forecasts": 8.0})
    )
    assert states(read_status(platform))["watch cycle"].startswith("took 10 s; 0 of the 1")
    assert "watch cycle" not in problems(platform)
    slow = {"pulled": 90.0, "failure_risks": 300.0, "diagnoses": 30.0}
    store.watch_cycles.add(WatchCycle(at=now - timedelta(minutes=10), step_seconds=slow))
    assert states(read_status(platform))["watch cycle"].startswith("took 7 min; 1 of the 2")
    assert "The slowest step was failure risks (5 min)" in problems(platform)


def test_people_see_few_lines_and_programs_all(platform: Platform) -> None:
    for number in range(30):
        platform.store.dead_letters.add(f"csv:{number}", pl.DataFrame({"row": ["x"], "reason": ["bad"]}))
    names = [part.name for part in read_status(platform).parts]
    assert len([name for name in names if name.startswith("dead letters of")]) == 30
    short = read_status(platform, max_lines=10).parts
    assert [part.state for part in short if part.name == "dead letters"] == [
        "30 rows rejected",
        "and 21 more; `forewarn status --all` lists them",
    ]


def test_a_source_that_fails_is_a_problem_since_its_first_failure_until_it_can_be_read(store: Store) -> None:
    settings = Settings(prometheus_url="http://127.0.0.1:9", _env_file=None)
    platform = platform_of(store, FixedClock(START), registry=AllChampions(), settings=settings)
    with pytest.raises(UnavailableError):
        pull(platform)
    (state,) = store.source_states.list()
    store.source_states.failed(state.source, START + timedelta(minutes=5), state.error)
    (source,) = [part for part in read_status(platform).parts if part.name.startswith("source prometheus")]
    assert source.problem is not None
    assert (
        f"cannot be read since {START:%Y-%m-%d %H:%M} UTC: Prometheus at http://127.0.0.1:9 does not"
        in source.problem
    )
    store.source_states.worked(source.name.removeprefix("source "), ["2 metrics are left out"])
    store.source_states.worked(source.name.removeprefix("source "), None)
    status = read_status(platform)
    assert states(status)[f"note on {source.name}"] == "2 metrics are left out"
    assert not [part for part in status.parts if "cannot be read" in (part.problem or "")]
