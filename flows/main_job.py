"""The flows: which steps run every night, every week and in every watch cycle, and in which order.

nightly   features -> baselines -> retention
weekly    train failure model, detectors and forecasters (two at a time) -> evaluate -> promote
watch     pull -> summarise traces and logs -> detect -> compare replicas -> forecast -> predict failures -> diagnose ->
          deliver (one run is a watch cycle)
main_job  nightly, weekly and watch, once each
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from prefect import Task, flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from core.settings import read_settings
from core.watch_cycles import WatchCycle
from flows import tasks
from flows.prefect_logging import no_tracebacks
from models.words.watch_cycle import late_cycle

#: Name of a step -> its report.
Reports = dict[str, Any]

#: The steps of a watch cycle, in their order.
_WATCH_STEPS: Mapping[str, Task[..., Any]] = {
    "pulled": tasks.pull_metrics,
    "traces": tasks.summarise_spans,
    "logs": tasks.summarise_log_lines,
    "anomalies": tasks.detect_anomalies,
    "replicas": tasks.compare_peers,
    "forecasts": tasks.forecast_series,
    "failure_risks": tasks.predict_failures,
    "diagnoses": tasks.diagnose_incidents,
    "deliveries": tasks.deliver_signals,
}


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
    return {
        "features": tasks.build_features(**arguments),
        "online": tasks.materialize_features(**arguments),
        "baselines": tasks.build_baselines(**arguments),
        "expired": tasks.drop_expired(**arguments),
    }


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # Prefect's own generic
def weekly(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Train all kinds of models, evaluate past signals, and promote models that pass the promotion gate."""
    arguments = _run_arguments(tenant, at)
    # The shortest training starts first: at the end, the two longest ones then use a core each.
    running = {
        "failure": tasks.fit_failure_model.submit(**arguments),
        "detectors": tasks.fit_detectors.submit(**arguments),
        "forecasters": tasks.fit_forecasters.submit(**arguments),
    }
    reports: Reports = {name: future.result() for name, future in running.items()}
    return {
        **reports,
        "evaluation": tasks.evaluate_models(**arguments),
        "promotion": tasks.promote_models(**arguments),
    }


@flow
def watch(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Run one watch cycle: pull, summarise traces and logs, detect, compare replicas, forecast, predict, diagnose."""
    arguments = _run_arguments(tenant, at)
    reports: Reports = {}
    seconds: dict[str, float] = {}
    for name, step in _WATCH_STEPS.items():
        began = time.monotonic()
        reports[name] = step(**arguments)
        seconds[name] = time.monotonic() - began
    cycle = tasks.keep_cycle(**arguments, step_seconds=seconds)
    if isinstance(cycle, WatchCycle) and cycle.is_late:
        get_run_logger().warning("%s", late_cycle(cycle))
    return {**reports, "cycle": cycle}


@flow
def main_job(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Run nightly, weekly and watch once. Use it for the first run on new data."""
    arguments = _run_arguments(tenant, at)
    return {**nightly(**arguments), **weekly(**arguments), **watch(**arguments)}
