"""Watches in one process: a cycle every five minutes, and nightly and weekly work when its time has come.

It calls the same flows as the schedules of `flows deploy`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from core.domain import ServiceEdges, Signal
from core.errors import ForewarnError
from core.watch_cycles import AFTER, WatchCycle
from flows.main_job import Reports, nightly, watch, weekly
from models.causes.incidents import DetectedIncident, correlate
from pipelines.steps import NIGHTLY_CRON, WATCH_CRON, WEEKLY_CRON, Skipped, next_time

#: Without a model, training is tried again after this time.
TRY_AGAIN = timedelta(hours=1)

_CRON = {"nightly": NIGHTLY_CRON, "weekly": WEEKLY_CRON}


class WatchListener(Protocol):
    """What hears about a cycle."""

    def starts(self, name: str) -> None:
        """Nightly or weekly work starts; it takes minutes."""
        ...

    def learned(self, name: str, reports: Reports) -> None:
        """Nightly or weekly work is done."""
        ...

    def cycle_done(self, cycle: "Cycle") -> None: ...

    def cycle_failed(self, at: datetime, error: ForewarnError) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What one watch cycle found.

    Attributes:
        pulled: samples that are new; null: metrics are pushed.
        began, ended: incidents of which no finding was open before, or none is any more. Suppressed findings do not
            count.
        grown: open incidents with their new findings only.
        open: how many incidents are open now.
        skipped: step -> why it was skipped.
        steps: how long each step took.
    """

    at: datetime
    seconds: float
    next_at: datetime
    pulled: int | None
    began: tuple[DetectedIncident, ...]
    grown: tuple[DetectedIncident, ...]
    ended: tuple[DetectedIncident, ...]
    open: int
    skipped: Mapping[str, str]
    steps: WatchCycle


@dataclass
class WatchLoop:
    """Runs cycles of one tenant, one after the other.

    A cycle that takes longer than five minutes lets the next ones fall out; they are not made up for.

    Attributes:
        findings: the open findings of the tenant, those that have ended since a time, and the service graph.
        has_model: whether there is a detector; until then, training is tried every hour.
        sleep: waits so many seconds.
        now: the present.
        learns: whether it does nightly and weekly work, too.
        ends: whether to end before the next cycle.
    """

    tenant: str
    findings: Callable[[datetime], tuple[list[Signal], ServiceEdges]]
    has_model: Callable[[], bool]
    listener: WatchListener
    sleep: Callable[[float], object]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    learns: bool = True
    ends: Callable[[], bool] = lambda: False
    _open: dict[str, Signal] = field(default_factory=dict)
    _last_run: dict[str, datetime] = field(default_factory=dict)

    def run(self, cycles: int | None = None) -> None:
        """Watch until interrupted, or told to end.

        Args:
            cycles: how many cycles to run; null: without end.
        """
        now = self.now()
        self._last_run = dict.fromkeys(("nightly", "weekly"), now)
        if self.learns and not self.has_model():
            self._learn("nightly", nightly)
            self._learn("weekly", weekly)
        for _ in _counted(cycles):
            self._reported(self._cycle)
            if self.learns:
                self._reported(self._scheduled)
            if cycles is None or cycles > 1:
                self._wait()
            if self.ends():
                return

    def _reported(self, work: Callable[[], None]) -> None:
        """Do something; an error is reported, and the loop goes on."""
        started = self.now()
        try:
            work()
        except ForewarnError as error:
            self.listener.cycle_failed(started, error)

    def _cycle(self) -> None:
        started = self.now()
        reports = watch(tenant=self.tenant, at=started)
        self.listener.cycle_done(self._found(started, reports))

    def _found(self, started: datetime, reports: Reports) -> Cycle:
        """What is new since the cycle before."""
        signals, graph = self.findings(started - timedelta(days=1))
        found = {one.signal_id: one for one in signals}
        # A finding that a person has rejected is no longer among them.
        gone = [replace(one, ended_at=started) for key, one in self._open.items() if key not in found]
        began, grown, ended, still_open = [], [], [], 0
        for incident in correlate([*signals, *gone], graph):
            lasting = [one for one in incident.signals if one.ended_at is None]
            new = tuple(one for one in lasting if one.signal_id not in self._open)
            known = any(one.signal_id in self._open for one in incident.signals)
            still_open += bool(lasting)
            if new and not known:
                began.append(incident)
            elif new:
                grown.append(replace(incident, signals=new))
            elif known and not lasting:
                ended.append(incident)
        self._open = {key: one for key, one in found.items() if one.ended_at is None}
        pulled = reports["pulled"]
        return Cycle(
            at=started,
            seconds=(self.now() - started).total_seconds(),
            next_at=next_time(WATCH_CRON, self.now()) + AFTER,
            pulled=None if pulled is None else pulled.inserted,
            began=tuple(sorted(began, key=lambda one: (-one.severity.rank, one.first.started_at))),
            grown=tuple(grown),
            ended=tuple(ended),
            open=still_open,
            skipped={name: report.reason for name, report in reports.items() if isinstance(report, Skipped)},
            steps=reports["cycle"],
        )

    def _scheduled(self) -> None:
        """Run what has become due since its last run."""
        now = self.now()
        due = {name for name, last in self._last_run.items() if next_time(_CRON[name], last) <= now}
        if not due and now - self._last_run["weekly"] >= TRY_AGAIN and not self.has_model():
            due = {"nightly", "weekly"}
        for name, flow in (("nightly", nightly), ("weekly", weekly)):
            if name in due:
                self._learn(name, flow)

    def _learn(self, name: str, flow: Callable[..., Reports]) -> None:
        self.listener.starts(name)
        self._last_run[name] = now = self.now()
        try:
            self.listener.learned(name, flow(tenant=self.tenant, at=now))
        except ForewarnError as error:
            self.listener.cycle_failed(now, error)

    def _wait(self) -> None:
        now = self.now()
        self.sleep(max(0.0, (next_time(WATCH_CRON, now - AFTER) + AFTER - now).total_seconds()))


def _counted(cycles: int | None) -> Iterator[int]:
    number = 0
    while cycles is None or number < cycles:
        yield number
        number += 1
