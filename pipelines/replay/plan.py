"""The plan of a replay and its folder, from which it goes on where it was interrupted."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.checks import require_name, require_utc
from core.errors import InputError, NotFoundError
from core.json_text import json_text
from core.settings import Settings
from core.watch_cycles import AFTER
from pipelines.stores.ready import down

PLAN_FILE, JOURNAL_FILE = "plan.json", "journal.jsonl"
#: Models learn from so much history before the first cycle, as far as it is stored.
HISTORY = timedelta(days=30)
#: What a replay takes from nowhere and sends nowhere: it has a database, models and a present of its own.
_NOWHERE: Mapping[str, object] = {
    "database_url": None,
    "mlflow_tracking_uri": None,
    "redis_url": None,
    "archive_url": None,
    "queues": (),
    "prometheus_url": None,
    "cloudwatch_region": None,
    "cloudwatch_alarms": False,
    "azure_resources": (),
    "grafana_url": None,
    "alertmanager_url": None,
    "webhook_url": None,
    "slack_webhook_url": None,
    "pagerduty_routing_key": None,
    "golden_signals": False,
}
#: Settings that change what is found. A replay keeps those that are not the default, so that two can be compared.
_JUDGING = (
    "seed",
    "detectors",
    "forecasters",
    "time_zone",
    "alert_budget_per_week",
    "alert_budget_by_service",
    "service_graph",
)


class Retrain(StrEnum):
    """When models are trained again after the first cycle."""

    WEEKLY = "weekly"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What a replay does.

    Attributes:
        start, end: the cycles of [start, end) are run.
        every_s: seconds between two cycles.
        history_s: so many seconds before `start` are learned from at first.
        settings: those that change what is found and are not the default, as text.
    """

    name: str
    tenant: str
    start: datetime
    end: datetime
    every_s: int
    retrain: Retrain = Retrain.WEEKLY
    history_s: int = int(HISTORY.total_seconds())
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name(self.name, "the name of a replay")
        if "/" in self.name or self.name.startswith("."):
            raise InputError(f"{self.name!r} cannot name a replay, because it cannot name a folder")
        for which in ("start", "end"):
            require_utc(getattr(self, which), which)
        if self.end <= self.start:
            raise InputError(f"a replay must end after it starts, got {self.start} to {self.end}")
        if self.every_s < 60:
            raise InputError(f"cycles are at least a minute apart, got {self.every_s} s")

    @property
    def cycles(self) -> int:
        return -int((self.start - self.end).total_seconds() // self.every_s)

    def moments(self, after: datetime | None = None) -> Iterator[datetime]:
        """The moment of each cycle later than `after`: a little later than the values that it judges, as live."""
        for number in range(self.cycles):
            at = self.start + timedelta(seconds=number * self.every_s) + AFTER
            if after is None or at > after:
                yield at


_PLAN = TypeAdapter(ReplayPlan)


@dataclass(frozen=True, slots=True)
class ReplayFolder:
    """The folder of one replay: its plan, its journal, its database and its models."""

    path: Path

    @classmethod
    def of(cls, settings: Settings, name: str) -> "ReplayFolder":
        return cls(replays_folder(settings) / name)

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL_FILE

    @property
    def plan(self) -> ReplayPlan:
        """The stored plan.

        Raises:
            NotFoundError: there is no replay of that name.
        """
        try:
            return _PLAN.validate_json((self.path / PLAN_FILE).read_bytes())
        except OSError:
            raise NotFoundError(
                f"there is no replay {self.path.name!r}; `forewarn replay list` shows all"
            ) from None
        except ValidationError as error:
            raise InputError(f"{self.path / PLAN_FILE} is damaged: remove that replay") from error

    def begin(self, plan: ReplayPlan) -> ReplayPlan:
        """Store the plan of a new replay, or go on with one that has begun; returns the plan as it is from now on.

        A replay may go on to a later end, and never ends earlier than it was planned.

        Raises:
            InputError: there is another replay of that name.
        """
        if (self.path / PLAN_FILE).exists():
            known = self.plan
            if replace(known, end=plan.end) != plan:
                raise InputError(
                    f"replay {plan.name!r} has begun with another plan or other settings; choose another --name, or"
                    f" remove it with `forewarn replay remove {plan.name}`"
                )
            if plan.end <= known.end:
                return known
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{PLAN_FILE}.part"
        part.write_text(json_text(plan))
        part.replace(self.path / PLAN_FILE)
        return plan

    def settings(self, live: Settings) -> Settings:
        """The settings of the replay: those of the live platform, on a database and models of its own."""
        own = {"data_dir": self.path / "data", "mlruns_dir": self.path / "mlruns"}
        return live.model_copy(update={**_NOWHERE, **own, "tenant": self.plan.tenant})

    def remove(self, live: Settings) -> None:
        """Stop the database of the replay, and remove all that it has stored.

        Raises:
            NotFoundError: there is no replay of that name.
        """
        down(self.settings(live))
        shutil.rmtree(self.path)


def replays_folder(settings: Settings) -> Path:
    return settings.data_dir / "replays"


def stored_replays(settings: Settings) -> list[ReplayPlan]:
    """The plans of all replays, by name."""
    folder = replays_folder(settings)
    names = sorted(one.parent.name for one in folder.glob(f"*/{PLAN_FILE}"))
    return [ReplayFolder(folder / name).plan for name in names]


def judging_settings(settings: Settings) -> dict[str, str]:
    """The settings that change what is found and are not the default, as text."""
    defaults = Settings.model_fields
    chosen = {name: getattr(settings, name) for name in _JUDGING}
    return {name: str(value) for name, value in chosen.items() if value != defaults[name].default}
