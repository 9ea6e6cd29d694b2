"""Run a replay: the steps of the production flows on a simulated clock, over data that end at each moment.

It has a database, models and a registry of its own, so that it changes nothing of the live platform. What live cycles
keep open stays open here too, and nothing else is shared between cycles, so that each has the result of the live one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core.clock import FixedClock
from core.durations import HOUR_S
from core.watch_cycles import AFTER
from models.lifecycle.replay_figures import SOON
from models.lifecycle.replay_records import (
    BreachPrediction,
    CycleRecord,
    LearningRecord,
    Record,
    RiskPrediction,
)
from pipelines.collect.ingest import ingest
from pipelines.common.one_at_a_time import alone
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.processes.memory import memory_bytes
from pipelines.processes.parallel import kept_workers
from pipelines.replay.journal import Journal
from pipelines.replay.past import RecordedPast
from pipelines.replay.plan import ReplayFolder, ReplayPlan, Retrain
from pipelines.replay.recorders import PeopleRecorder, ProgramRecorder
from pipelines.steps import (
    AFTER_TRAINING,
    JUDGE,
    NIGHTLY,
    NIGHTLY_CRON,
    RECORD_CYCLE,
    TRAINING,
    WEEKLY_CRON,
    Step,
    next_time,
)
from pipelines.watch.forecast import ForecastReport
from pipelines.watch.predict_failure import PredictReport
from pipelines.wiring import Tenancy, open_tenancy

#: Cursors of the replay: its last cycle, and the last run of nightly and weekly work.
CYCLE_CURSOR, LEARNED_CURSOR = "replay", "replay {}"
_LOCK = "replay"


def replay(live: Platform, plan: ReplayPlan, *, progress: Progress = silent) -> ReplayFolder:
    """Run a replay, or go on with one that was interrupted.

    Args:
        live: whose past is replayed; it is only read.
    Returns:
        The folder with the journal of the replay.
    Raises:
        BusyError: another process runs it now.
        InputError: there is another replay of that name.
    """
    folder = ReplayFolder.of(live.settings, plan.name)
    plan = folder.begin(plan)
    with open_tenancy(folder.settings(live.settings), keep_samples=True) as tenancy, kept_workers():
        run = _Run(
            tenancy=tenancy,
            past=RecordedPast(live.store, plan.start - timedelta(seconds=plan.history_s)),
            plan=plan,
            journal=Journal(folder.journal),
            progress=progress,
        )
        with alone(run.platform(plan.start), _LOCK, progress):
            run.run()
    return folder


@dataclass
class _Run:
    """A replay that runs.

    Attributes:
        tenancy: of the replay.
    """

    tenancy: Tenancy
    past: RecordedPast
    plan: ReplayPlan
    journal: Journal
    progress: Progress
    _predicted: set[str] = field(default_factory=set)

    def platform(self, at: datetime) -> Platform:
        """The platform of the replay at a moment."""
        clock = FixedClock(at)
        sinks = (PeopleRecorder(self.journal, clock), ProgramRecorder(self.journal, clock))
        return replace(replace(self.tenancy, clock=clock).platform(self.plan.tenant), sinks=sinks)

    def run(self) -> None:
        done = self._cursor(CYCLE_CURSOR)
        for record in self.journal.records():
            if isinstance(record, BreachPrediction):
                self._predicted.add(record.signal_id)
        if done is None:
            self._begin()
        else:
            self._learn_what_is_due(done)
        left = list(self.plan.moments(done))
        self.progress("replay", self.plan.cycles - len(left), self.plan.cycles)
        for number, at in enumerate(left, start=self.plan.cycles - len(left) + 1):
            self._cycle(at)
            self._set_cursor(CYCLE_CURSOR, at)
            self._learn_what_is_due(at)
            self.progress("replay", number, self.plan.cycles)

    def _begin(self) -> None:
        """Take in the history, and learn from it."""
        start = self.plan.start
        ingest(self.platform(start), self.past.up_to(start), self.progress)
        for flow in ("nightly", "weekly"):
            if self._cursor(LEARNED_CURSOR.format(flow)) is None:
                self._learn(flow, start)

    def _learn_what_is_due(self, now: datetime) -> None:
        crons = {"nightly": NIGHTLY_CRON}
        if self.plan.retrain is Retrain.WEEKLY:
            crons["weekly"] = WEEKLY_CRON
        for flow, cron in crons.items():
            last = self._cursor(LEARNED_CURSOR.format(flow)) or self.plan.start
            if next_time(cron, last) <= now:
                self._learn(flow, now)

    def _learn(self, flow: str, at: datetime) -> None:
        began = time.monotonic()
        if flow == "nightly":
            self._run_all(NIGHTLY, at)
        else:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(partial(self._run_step, at), TRAINING))
            self._run_all(AFTER_TRAINING, at)
        self.journal.add([LearningRecord(at=at, flow=flow, seconds=time.monotonic() - began)])
        self._set_cursor(LEARNED_CURSOR.format(flow), at)

    def _run_all(self, steps: Sequence[Step], at: datetime) -> None:
        for step in steps:
            self._run_step(at, step)

    def _run_step(self, at: datetime, step: Step) -> None:
        step.run(self.platform(at), progress=self.progress)

    def _cycle(self, at: datetime) -> None:
        """One watch cycle: what was recorded until then comes in place of what a live cycle pulls."""
        platform = self.platform(at)
        work: dict[str, Callable[[], Any]] = {"pulled": partial(ingest, platform, self.past.up_to(at))}
        work |= {step.name: partial(step.run, platform, progress=silent) for step in JUDGE}
        reports, seconds = {}, {}
        for name, step in work.items():
            began = time.monotonic()
            reports[name] = step()
            seconds[name] = time.monotonic() - began
        RECORD_CYCLE.run(platform, step_seconds=seconds)
        cycle = CycleRecord(
            at=at,
            seconds=sum(seconds.values()),
            mib=memory_bytes() / 2**20,
            incidents=len(reports["diagnoses"].records),
        )
        self.journal.add([*self._predictions(at, reports), cycle])

    def _predictions(self, at: datetime, reports: dict[str, Any]) -> Iterator[Record]:
        is_hourly = (at - AFTER).timestamp() % HOUR_S < self.plan.every_s
        forecast, risks = reports["forecasts"], reports["failure_risks"]
        if isinstance(forecast, ForecastReport):
            for one in forecast.signals:
                when = None if one.breach is None else one.breach.when
                if when is None or one.series_id is None or not at < when.p50 <= at + SOON:
                    continue
                if is_hourly or one.signal_id not in self._predicted:
                    self._predicted.add(one.signal_id)
                    yield BreachPrediction(
                        at=at,
                        signal_id=one.signal_id,
                        series_id=one.series_id,
                        metric=one.metric or "",
                        when=when.p50,
                    )
        if is_hourly and isinstance(risks, PredictReport):
            for service, risk in risks.risks.items():
                probabilities = risk.probability_by_horizon_s
                yield RiskPrediction(at=at, service=service, probability_by_horizon_s=probabilities)

    def _cursor(self, name: str) -> datetime | None:
        found = self.platform(self.plan.start).store.cursors.get(name)
        return None if found is None else datetime.fromisoformat(found)

    def _set_cursor(self, name: str, at: datetime) -> None:
        self.platform(at).store.cursors.set(name, at.isoformat())
