"""The flows: which steps run every night, every week and in every watch cycle, and in which order.

nightly   features -> baselines -> retention
weekly    train failure model, detectors and forecasters (two at a time) -> evaluate -> promote
watch     pull -> summarise traces and logs -> detect -> compare replicas -> forecast -> predict failures -> diagnose ->
          deliver (one run is a watch cycle)
main_job  nightly, weekly and watch, once each
"""

from datetime import UTC, datetime
from typing import Any, TypedDict

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from core.settings import read_settings
from flows import tasks
from flows.prefect_logging import no_tracebacks

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
    return {
        "pulled": tasks.pull_metrics(**arguments),
        "traces": tasks.summarise_spans(**arguments),
        "logs": tasks.summarise_log_lines(**arguments),
        "anomalies": tasks.detect_anomalies(**arguments),
        "replicas": tasks.compare_peers(**arguments),
        "forecasts": tasks.forecast_series(**arguments),
        "failure_risks": tasks.predict_failures(**arguments),
        "diagnoses": tasks.diagnose_incidents(**arguments),
        "deliveries": tasks.deliver_signals(**arguments),
    }


@flow
def main_job(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Run nightly, weekly and watch once. Use it for the first run on new data."""
    arguments = _run_arguments(tenant, at)
    return {**nightly(**arguments), **weekly(**arguments), **watch(**arguments)}
