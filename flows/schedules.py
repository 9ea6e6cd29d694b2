"""When each flow runs by itself, and how the schedules get onto a Prefect server."""

from dataclasses import dataclass
from typing import cast

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.main_job import Reports, main_job, nightly, watch, weekly


@dataclass(frozen=True, slots=True)
class Schedule:
    """A flow and its cron expression in UTC; null: on demand only."""

    flow: Flow[..., Reports]
    cron: str | None
    purpose: str


SCHEDULES = (
    Schedule(nightly, "17 2 * * *", "features and baselines of the last 30 days"),
    Schedule(weekly, "43 3 * * 0", "train, evaluate and promote models"),
    Schedule(watch, "*/5 * * * *", "score, forecast, predict and send what is new"),
    Schedule(main_job, None, "everything once, for a first run"),
)


def deployments(tenant: str) -> list[RunnerDeployment]:
    """One Prefect deployment a flow, for one tenant."""
    made = [
        entry.flow.to_deployment(
            name=tenant,
            parameters={"tenant": tenant},
            schedule=Cron(entry.cron, timezone="UTC") if entry.cron else None,
            description=entry.purpose,
            # A run that is late must not meet the next one: the flows are idempotent, but not free.
            concurrency_limit=1,
            # By module and not by file: a run finds the flow wherever it is started.
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for entry in SCHEDULES
    ]
    # Prefect's signature allows for an event loop, which there is none of here.
    return cast(list[RunnerDeployment], made)


def serve_schedules(tenant: str) -> None:
    """Register the deployments and run what is due, until interrupted."""
    serve(*deployments(tenant), pause_on_shutdown=False)
