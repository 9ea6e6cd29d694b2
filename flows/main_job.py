"""The flows: which steps run every night, every week and in every watch cycle, and in which order.

nightly   features -> baselines -> retention
weekly    train failure model, detectors and forecasters (two at a time) -> evaluate -> promote
watch     pull -> summarise traces and logs -> detect -> compare replicas -> forecast -> predict failures -> diagnose ->
          deliver (one run is a watch cycle)
main_job  nightly, weekly and watch, once each
"""

import time
from datetime import UTC, datetime
from typing import Any, TypedDict

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from core.settings import read_settings
from core.watch_cycles import WatchCycle
from flows import tasks
from flows.prefect_logging import no_tracebacks
from models.words.watch_cycle import late_cycle

#: Name of a step -> its report.
Reports = dict[str, Any]


class RunArguments(TypedDict):
    """The tenant of a run, and the moment that its steps take for the present."""

    tenant: str
    at: datetime


def _run_arguments(tenant: str | None, at: datetime | None) -> RunArguments:
    no_tracebacks()  # here, because a Prefect worker runs a flow without any command of ours
    return RunArguments(tenant=tenant or read_settings().tenant, at=at or datetime.now(UTC))


@flow
def nightly(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Compute features and the baselines of the last 30 days; then delete expired rows."""
    arguments = _run_arguments(tenant, at)
    return {name: step(**arguments) for name, step in tasks.NIGHTLY.items()}


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # Prefect's own generic
def weekly(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Train all kinds of models, evaluate past signals, and promote models that pass the promotion gate."""
    arguments = _run_arguments(tenant, at)
    running = {name: step.submit(**arguments) for name, step in tasks.TRAINING.items()}
    reports: Reports = {name: future.result() for name, future in running.items()}
    return reports | {name: step(**arguments) for name, step in tasks.AFTER_TRAINING.items()}


@flow
def watch(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Run one watch cycle: pull, summarise traces and logs, detect, compare replicas, forecast, predict, diagnose."""
    arguments = _run_arguments(tenant, at)
    reports: Reports = {}
    seconds: dict[str, float] = {}
    for name, step in tasks.WATCH.items():
        began = time.monotonic()
        reports[name] = step(**arguments)
        seconds[name] = time.monotonic() - began
    cycle = tasks.record_cycle(**arguments, step_seconds=seconds)
    if isinstance(cycle, WatchCycle) and cycle.is_late:
        get_run_logger().warning("%s", late_cycle(cycle))
    return {**reports, "cycle": cycle}


@flow
def main_job(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Run nightly, weekly and watch once. Use it for the first run on new data."""
    arguments = _run_arguments(tenant, at)
    return {**nightly(**arguments), **weekly(**arguments), **watch(**arguments)}
