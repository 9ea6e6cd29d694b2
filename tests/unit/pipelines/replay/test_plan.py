"""The plan of a replay: its moments, its settings, and what a second command with the same name does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.clock import SystemClock
from core.errors import InputError, NotFoundError
from core.settings import Settings
from flows.commands.replay import seconds_of
from pipelines.replay.plan import ReplayFolder, ReplayPlan, judging_settings, stored_replays
from pipelines.sinks.configured import configured_sinks
from pipelines.sources.configured import configured_sources
from pipelines.sources.queues.configured import configured_queues

START = datetime(2026, 3, 2, tzinfo=UTC)
PLAN = ReplayPlan(name="march", tenant="acme", start=START, end=START + timedelta(hours=1), every_s=300)


def test_cycles_run_a_little_after_the_values_that_they_judge() -> None:
    moments = list(PLAN.moments())
    assert len(moments) == PLAN.cycles == 12
    assert moments[0] == START + timedelta(seconds=35)
    assert moments[-1] == PLAN.end - timedelta(minutes=5) + timedelta(seconds=35)
    assert list(PLAN.moments(moments[3])) == moments[4:]
    assert replace(PLAN, end=START + timedelta(minutes=61)).cycles == 13


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"end": START}, "must end after it starts"),
        ({"every_s": 30}, "at least a minute apart"),
        ({"name": "../elsewhere"}, "cannot name a folder"),
        ({"name": ".."}, "cannot name a folder"),
        ({"name": ""}, "the name of a replay"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(changed: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        replace(PLAN, **changed)


def test_the_same_plan_goes_on_and_another_one_needs_another_name(tmp_path: Path) -> None:
    folder = ReplayFolder(tmp_path / "march")
    assert folder.begin(PLAN) == folder.begin(PLAN) == folder.plan == PLAN
    with pytest.raises(InputError, match="another plan or other settings"):
        folder.begin(replace(PLAN, settings={"alert_budget_per_week": "1.0"}))


def test_a_replay_goes_on_to_a_later_end_and_not_back_to_an_earlier_one(tmp_path: Path) -> None:
    folder = ReplayFolder(tmp_path / "march")
    folder.begin(PLAN)
    later = replace(PLAN, end=PLAN.end + timedelta(hours=1))
    assert folder.begin(later) == later
    assert folder.begin(PLAN) == folder.plan == later


def test_stored_replays_are_listed_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    assert stored_replays(settings) == []
    ReplayFolder.of(settings, "march").begin(PLAN)
    assert stored_replays(settings) == [PLAN]
    with pytest.raises(NotFoundError, match="no replay 'april'"):
        _ = ReplayFolder.of(settings, "april").plan


def test_a_replay_reads_from_nowhere_else_and_sends_nothing(tmp_path: Path) -> None:
    live = Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=SecretStr("postgresql://live"),
        mlflow_tracking_uri=SecretStr("http://mlflow"),
        redis_url=SecretStr("redis://live"),
        archive_url=str(tmp_path / "archive"),
        queues=(SecretStr("redis://live/stream"),),
        prometheus_url="http://prometheus:9090",
        golden_signals=True,
        cloudwatch_region="eu-west-1",
        cloudwatch_namespaces=("AWS/EC2",),
        azure_resources=("/subscriptions/1",),
        grafana_url="http://grafana",
        sidecars_dir=tmp_path,
        alertmanager_url="http://alertmanager",
        webhook_url="http://hook",
        slack_webhook_url=SecretStr("http://slack"),
        pagerduty_routing_key=SecretStr("key"),
        alert_budget_per_week=2.0,
    )
    folder = ReplayFolder.of(live, "march")
    folder.begin(PLAN)
    own = folder.settings(live)
    assert not configured_sources(own, "acme", SystemClock())
    assert not configured_queues(own)
    assert not configured_sinks(own)
    assert (own.database_url, own.mlflow_tracking_uri, own.redis_url, own.archive_url) == (None,) * 4
    assert own.data_dir.is_relative_to(folder.path)
    assert own.mlruns_dir.is_relative_to(folder.path)
    assert (own.tenant, own.alert_budget_per_week) == ("acme", 2.0)
    assert judging_settings(live) == {"alert_budget_per_week": "2.0"}


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("90s", 90), ("1h", 3_600), (" 2d ", 172_800)])
def test_times_between_cycles(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "1.5h", "９m"])
def test_a_time_between_cycles_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 5m"):
        seconds_of(text)
