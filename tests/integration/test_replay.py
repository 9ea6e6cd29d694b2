"""A replay finds what production found, also after it was interrupted, and it shows what another setting alters."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr
from servers.postgres import fresh_database
from typer.testing import CliRunner

from core.batch import Batch
from core.clock import FixedClock
from core.diagnosis import DiagnosisRecord
from core.domain import Signal
from core.errors import InputError
from core.ports import Store
from core.settings import Settings
from flows.cli import app
from models.lifecycle.replay_records import CycleRecord
from pipelines.collect.ingest import ingest
from pipelines.common.progress import silent
from pipelines.common.tenant_platform import Platform
from pipelines.replay.compare import compare_replays
from pipelines.replay.journal import Journal
from pipelines.replay.page import replay_page
from pipelines.replay.plan import ReplayFolder, ReplayPlan, Retrain
from pipelines.replay.recorders import PeopleRecorder, ProgramRecorder
from pipelines.replay.report import cycles_of, report_of_replay
from pipelines.replay.run import replay
from pipelines.sources.simulated import SimulatedFleet
from pipelines.steps import AFTER_TRAINING, JUDGE, NIGHTLY, TRAINING
from pipelines.stores.migrate import migrate
from pipelines.stores.ready import down
from pipelines.wiring import open_platform

TENANT = "acme"
HISTORY = timedelta(days=14)
EVERY = timedelta(minutes=15)
#: A night falls into the time of the replay.
START = datetime(2026, 3, 1, 22, tzinfo=UTC)
END = START + timedelta(hours=8)
FLEET = SimulatedFleet(3, 15, seed=5, end=END + timedelta(hours=4), tenant=TENANT)
PLAN = ReplayPlan(
    name="night",
    tenant=TENANT,
    start=START,
    end=END,
    every_s=int(EVERY.total_seconds()),
    retrain=Retrain.NEVER,
    history_s=int(HISTORY.total_seconds()),
)


class Arriving:
    """The fleet while it lives (`core.ports.MetricSource`): it has what happened before a moment."""

    name = "arriving"

    def __init__(self) -> None:
        self.until = START

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        since = START - HISTORY if cursor is None else datetime.fromisoformat(cursor)
        yield Batch(
            series=FLEET.series,
            samples=FLEET.samples.filter(pl.col("ts") >= since, pl.col("ts") < self.until),
            events=[one for one in FLEET.events if since <= one.at < self.until],
            incidents=[
                replace(one, end=one.end if one.end is not None and one.end < self.until else None)
                for one in FLEET.incidents
                if since - HISTORY <= one.start < self.until
            ],
            cursor=self.until.isoformat(),
        )


def settings(home: Path, dsn: str) -> Settings:
    return Settings(
        _env_file=None,
        tenant=TENANT,
        database_url=SecretStr(dsn),
        data_dir=home / "data",
        mlruns_dir=home / "mlruns",
        seed=1,
    )


@pytest.fixture(scope="module")
def live(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that has lived through the night: its cycles ran while the data arrived."""
    home = tmp_path_factory.mktemp("live")
    with fresh_database(server_dsn) as dsn:
        migrate(dsn)
        with open_platform(settings(home, dsn)) as platform:
            _live(platform, home / "heard.jsonl")
            yield platform


def _live(platform: Platform, heard: Path) -> None:
    arriving, learned = Arriving(), START
    for at in (START, *PLAN.moments()):
        clock = FixedClock(at)
        sinks = (PeopleRecorder(Journal(heard), clock), ProgramRecorder(Journal(heard), clock))
        now = replace(platform, clock=clock, sinks=sinks)
        arriving.until = at
        ingest(now, arriving)
        steps = (*NIGHTLY, *TRAINING, *AFTER_TRAINING) if at == START else JUDGE
        for step in steps:
            step.run(now, progress=silent)
        if at.hour == 2 and learned.day != at.day and at.minute >= 17:
            learned = at
            for step in NIGHTLY:
                step.run(now, progress=silent)
    arriving.until = FLEET.end + timedelta(seconds=1)
    ingest(replace(platform, clock=FixedClock(arriving.until)), arriving)


@pytest.fixture(scope="module")
def replayed(live: Platform) -> Iterator[ReplayFolder]:
    """The replay of the night; it was interrupted after five cycles, and begun again."""

    def interrupted(step: str, done: int, total: int) -> None:
        if (step, done) == ("replay", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(live, PLAN, progress=interrupted)
    folder = replay(live, PLAN)
    yield folder
    down(folder.settings(live.settings))


def signals_of(store: Store) -> list[Signal]:
    """The signals of cycles, without the model, whose runs have other ids."""
    found = [replace(one, model=None) for one in store.signals.find() if one.started_at < END]
    return sorted(found, key=lambda one: one.signal_id)


def diagnoses_of(store: Store) -> list[DiagnosisRecord]:
    ids = [one.signal_id for one in store.signals.find()]
    return sorted(store.diagnoses.of_signals(ids, until=END), key=lambda one: (one.made_at, one.incident_id))


def test_a_replay_finds_what_production_found_while_the_data_arrived(
    live: Platform, replayed: ReplayFolder
) -> None:
    with open_platform(replayed.settings(live.settings)) as own:
        assert len(signals_of(live.store)) >= 3
        assert signals_of(own.store) == signals_of(live.store)
        assert diagnoses_of(own.store) == diagnoses_of(live.store)


def test_people_would_have_heard_the_same(live: Platform, replayed: ReplayFolder) -> None:
    heard = Journal(replayed.path.parents[2] / "heard.jsonl").records()
    told = [one for one in Journal(replayed.journal).records() if one.type in ("alert", "end")]
    assert told == heard
    assert any(one.type == "alert" for one in told)


def test_an_interrupted_replay_has_each_cycle_once(replayed: ReplayFolder) -> None:
    cycles = [one for one in Journal(replayed.journal).records() if isinstance(one, CycleRecord)]
    assert [one.at for one in cycles] == list(PLAN.moments())


def test_the_report_has_every_figure_and_a_page(live: Platform, replayed: ReplayFolder) -> None:
    report = report_of_replay(live, PLAN.name)
    assert report.is_complete
    assert report.until == END + timedelta(seconds=35)
    assert report.figures.cost.cycles == PLAN.cycles
    page = replay_page(report, cycles_of(live, PLAN.name))
    assert page.count("<svg") == 3
    assert all(one.service in page for one in report.messages)


def test_another_setting_needs_another_name_and_is_compared(live: Platform, replayed: ReplayFolder) -> None:
    with pytest.raises(InputError, match="another plan or other settings"):
        replay(live, replace(PLAN, settings={"alert_budget_per_week": "0.1"}))
    comparison = compare_replays(live, PLAN.name, PLAN.name)
    assert (comparison.differences, comparison.only_one, comparison.only_other) == ({}, (), ())


def test_the_commands_list_report_and_remove_replays(
    live: Platform, replayed: ReplayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert live.settings.database_url is not None
    monkeypatch.setenv("FOREWARN_TENANT", TENANT)
    monkeypatch.setenv("FOREWARN_DATABASE_URL", live.settings.database_url.get_secret_value())
    monkeypatch.setenv("FOREWARN_DATA_DIR", str(live.settings.data_dir))
    monkeypatch.setenv("FOREWARN_MLRUNS_DIR", str(live.settings.mlruns_dir))
    runner = CliRunner()
    listed = runner.invoke(app, ["replay", "list"])
    assert "night: tenant acme, 2026-03-01 22:00 UTC to 2026-03-02 06:00 UTC, every 15 min" in listed.output
    printed = runner.invoke(app, ["replay", "report", "night"], env={"COLUMNS": "200"})
    assert printed.exit_code == 0, printed.output
    assert "alerts to people" in printed.output
    as_json = json.loads(runner.invoke(app, ["replay", "report", "night", "--json"]).stdout)
    assert as_json["figures"]["cost"]["cycles"] == PLAN.cycles
    beyond = runner.invoke(app, ["replay", "--from", "2031-01-01"])
    assert beyond.exit_code != 0
    nothing = runner.invoke(app, ["replay"])
    assert isinstance(nothing.exception, InputError)
    assert "--from 2026-03-01" in str(nothing.exception)
