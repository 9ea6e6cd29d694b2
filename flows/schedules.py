"""The schedule of each flow, and its registration with a Prefect server."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.main_job import Reports, main_job, nightly, watch, weekly
from pipelines.steps import NIGHTLY_CRON, WATCH_CRON, WEEKLY_CRON


@dataclass(frozen=True, slots=True)
class Schedule:
    """A flow and its cron expression in UTC; null: it runs on demand only."""

    flow: Flow[..., Reports]
    cron: str | None
    purpose: str


#: What falls due during a run is left out: in a queue, each run would be later than the one before.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)

SCHEDULES = (
    Schedule(nightly, NIGHTLY_CRON, "compute features and baselines, delete expired rows"),
    Schedule(weekly, WEEKLY_CRON, "train, evaluate and promote models"),
    Schedule(watch, WATCH_CRON, "one watch cycle: detect, forecast, predict, diagnose, send alerts"),
    Schedule(main_job, None, "all of the above once, for the first run"),
)


def deployments(tenant: str) -> list[RunnerDeployment]:
    """One Prefect deployment for each flow of one tenant.

    Watch cycles run in a process of their own (`flows.cycle_process`), so that their deployment has no schedule.
    """
    made = [
        entry.flow.to_deployment(
            name=tenant,
            parameters={"tenant": tenant},
            schedule=Cron(entry.cron, timezone="UTC") if entry.cron and entry.flow is not watch else None,
            description=entry.purpose,
            concurrency_limit=ONE_AT_A_TIME,
            # By module, not by file: then a run finds the flow from any working directory.
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for entry in SCHEDULES
    ]
    # In an event loop, `to_deployment` returns an awaitable. There is no event loop here.
    return cast(list[RunnerDeployment], made)


def serve_schedules(tenants: Sequence[str]) -> None:
    """Register the deployments of tenants and run each flow on its schedule, until interrupted."""
    # On SIGTERM Prefect calls a coroutine without awaiting it, and then exits; Python would print a warning.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    serve(*(one for tenant in tenants for one in deployments(tenant)), pause_on_shutdown=False)
