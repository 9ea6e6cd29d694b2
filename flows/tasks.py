"""Each pipeline step as a Prefect task: it runs one function on the kept platform and retries temporary errors."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from core.clock import FixedClock
from core.errors import UnavailableError
from flows.progress_listener import current_listener
from pipelines import steps
from pipelines.processes.temporary_files import own_temporary_folder
from pipelines.steps import Skipped, Step
from pipelines.wiring import kept_platform

#: Seconds before the first and the second retry: enough for the restart of a server, then for a fail-over.
RETRY_DELAYS_S = [2.0, 20.0]


def _is_temporary(_task: Any, _run: Any, state: Any) -> bool:
    """Only an unreachable server is worth a retry. Bad input stays bad."""
    return isinstance(state.data, UnavailableError)


def task_of(step: Step) -> Task[..., Any]:
    """Make the task of a step.

    The task takes `tenant` and `at` in place of the platform, so that any worker on any machine can run it. It passes
    all other arguments to the function of the step.
    """

    @task(
        name=step.function.__name__,
        description=(step.function.__doc__ or "").partition("\n")[0],
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=_is_temporary,
        cache_policy=NO_CACHE,
    )
    def run(tenant: str, at: datetime, **arguments: Any) -> Any:
        own_temporary_folder()  # here, because a Prefect worker runs a flow without any command of ours
        with kept_platform(tenant=tenant, clock=FixedClock(at)) as platform:
            report = step.run(platform, progress=current_listener(), **arguments)
            if isinstance(report, Skipped):
                get_run_logger().warning("%s is skipped: %s", step.function.__name__, report.reason)
            return report

    return run


def _tasks(of: Iterable[Step]) -> Mapping[str, Task[..., Any]]:
    """Name of the report -> task, in the order of the steps."""
    return {step.name: task_of(step) for step in of}


NIGHTLY = _tasks(steps.NIGHTLY)
TRAINING = _tasks(steps.TRAINING)
AFTER_TRAINING = _tasks(steps.AFTER_TRAINING)
WATCH = _tasks((*steps.COLLECT, *steps.JUDGE))
record_cycle = task_of(steps.RECORD_CYCLE)
