"""The loop of `forewarn watch` on a simulated clock: when cycles, nightly and weekly work run, and what is reported."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import flows.watch_loop as watch_loop
from core.domain import ServiceEdges, Severity, Signal, SignalKind
from core.errors import ForewarnError, UnavailableError
from core.watch_cycles import AFTER, WatchCycle
from flows.main_job import Reports
from flows.watch_loop import Cycle, WatchLoop
from models.words.watch_cycle import late_cycle
from pipelines.steps import Skipped

START = datetime(2026, 1, 3, 1, 2, tzinfo=UTC)  # a Saturday


@dataclass
class World:
    """A clock that only moves while somebody sleeps or works, and what has happened."""

    time: datetime = START
    has_model: bool = True
    signals: list[Signal] = field(default_factory=list)
    calls: list[tuple[str, datetime]] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)
    errors: list[ForewarnError] = field(default_factory=list)
    takes_s: float = 10.0
    fails_at: int | None = None

    def flow(self, name: str) -> Any:
        def run(tenant: str, at: datetime) -> Reports:
            assert tenant == "acme"
            assert at == self.time
            self.calls.append((name, at))
            self.time += timedelta(seconds=self.takes_s)
            if name == "watch" and self.fails_at == len(self.of("watch")):
                raise UnavailableError("the database does not answer")
            cycle = WatchCycle(at=at, step_seconds={"pulled": 1.0, "forecasts": self.takes_s - 1.0})
            return {"pulled": SimpleNamespace(inserted=7), "anomalies": Skipped("no model"), "cycle": cycle}

        return run

    def of(self, name: str) -> list[datetime]:
        return [at for called, at in self.calls if called == name]

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += timedelta(seconds=seconds)

    # what `WatchLoop` tells

    def starts(self, name: str) -> None:
        pass

    def learned(self, name: str, reports: Reports) -> None:
        pass

    def cycle_done(self, cycle: Cycle) -> None:
        self.cycles.append(cycle)

    def cycle_failed(self, at: datetime, error: ForewarnError) -> None:
        self.errors.append(error)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("watch", "nightly", "weekly"):
        monkeypatch.setattr(watch_loop, name, made.flow(name))
    return made


def loop_of(world: World) -> WatchLoop:
    return WatchLoop(
        tenant="acme",
        findings=lambda since: (list(world.signals), ()),
        has_model=lambda: world.has_model,
        listener=world,
        sleep=world.sleep,
        now=lambda: world.time,
    )


def test_a_cycle_runs_every_five_minutes_and_the_rest_at_its_time(world: World) -> None:
    loop_of(world).run(cycles=2 * 24 * 12)
    first, *rest = world.of("watch")
    assert first == START
    assert {(at - AFTER).minute % 5 for at in rest} == {0}
    assert {(at - AFTER).second for at in rest} == {0}
    assert [at.strftime("%a %H") for at in world.of("nightly")] == ["Sat 02", "Sun 02"]
    assert [at.strftime("%a %H") for at in world.of("weekly")] == ["Sun 03"]


def test_late_cycles_are_left_out_and_not_made_up_for(world: World) -> None:
    world.takes_s = 8 * 60
    loop_of(world).run(cycles=3)
    assert [f"{at:%H:%M}" for at in world.of("watch")] == ["01:02", "01:10", "01:20"]
    assert [cycle.steps.is_late for cycle in world.cycles] == [True, True, True]
    assert late_cycle(world.cycles[0].steps) == (
        "the watch cycle of 01:02 UTC took 8 min, longer than the 5 min between cycles; those that fell due meanwhile"
        " are skipped. The slowest step was forecasts (8 min)"
    )


def test_without_a_model_training_is_tried_at_once_and_every_hour(world: World) -> None:
    world.has_model = False
    loop_of(world).run(cycles=2 * 12)
    assert [f"{at:%H:%M}" for at in world.of("weekly")][:2] == ["01:02", "02:05"]
    world.has_model = True


def test_a_failed_cycle_is_reported_and_the_next_one_runs(world: World) -> None:
    world.fails_at = 2
    loop_of(world).run(cycles=3)
    assert [str(error) for error in world.errors] == ["the database does not answer"]
    assert len(world.cycles) == 2


def test_findings_that_cannot_be_read_are_reported_and_the_next_cycle_runs(world: World) -> None:
    loop, tried = loop_of(world), []

    def findings(since: datetime) -> tuple[list[Signal], ServiceEdges]:
        tried.append(since)
        if len(tried) == 1:
            raise UnavailableError("the database does not answer")
        return [], ()

    loop.findings = findings
    loop.run(cycles=2)
    assert [str(error) for error in world.errors] == ["the database does not answer"]
    assert len(world.cycles) == 1


def finding(name: str, **changes: Any) -> Signal:
    signal = Signal(
        signal_id=name, tenant="acme", kind=SignalKind.ANOMALY, service="web1", metric=name, started_at=START,
        summary="", severity=Severity.WARNING,
    )  # fmt: skip
    return replace(signal, **changes)


def counts(world: World) -> list[tuple[int, int, int, int]]:
    return [(len(one.began), len(one.grown), len(one.ended), one.open) for one in world.cycles]


def run(world: World, *cycles: list[Signal]) -> list[tuple[int, int, int, int]]:
    loop = loop_of(world)
    for found in cycles:
        world.signals = found
        loop.run(cycles=1)
    return counts(world)


def test_an_incident_is_reported_when_it_begins_and_when_it_ends(world: World) -> None:
    signal = finding("a")
    ended = replace(signal, ended_at=START)
    assert run(world, [], [signal], [signal], [ended], []) == [
        (0, 0, 0, 0), (1, 0, 0, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 0, 0),
    ]  # fmt: skip
    assert world.cycles[3].ended[0].first.ended_at == START
    assert world.cycles[0].pulled == 7
    assert world.cycles[0].skipped == {"anomalies": "no model"}


def test_findings_of_one_incident_are_reported_together(world: World) -> None:
    disk, errors, late = finding("disk"), finding("errors"), finding("late")
    over = [replace(one, ended_at=START + timedelta(hours=1)) for one in (disk, errors, late)]
    reported = run(world, [disk, errors], [disk, errors, late], [over[0], errors, over[2]], over)
    assert reported == [(1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 0, 1), (0, 0, 1, 0)]
    assert [one.metric for one in world.cycles[0].began[0].signals] == ["disk", "errors"]
    assert [one.metric for one in world.cycles[1].grown[0].signals] == ["late"]


def test_a_finding_that_a_person_rejected_has_ended(world: World) -> None:
    assert run(world, [finding("a")], []) == [(1, 0, 0, 1), (0, 0, 1, 0)]
