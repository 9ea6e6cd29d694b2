"""The main job: what runs every night, every week and every few minutes, in which order.

nightly   features -> baselines                       what is normal
weekly    the three trainings, two at a time -> gate  what is expected
watch     pull -> score, forecast, predict -> weigh -> deliver
main_job  all of it once, in that order
"""

from datetime import UTC, datetime
from typing import Any, TypedDict

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from core.settings import Settings
from flows import tasks

#: Name of a step -> the report that it gave.
Reports = dict[str, Any]


class Who(TypedDict):
    """Whom a run is for, and the moment that it works for."""

    tenant: str
    at: datetime


def _who(tenant: str | None, at: datetime | None) -> Who:
    return Who(tenant=tenant or Settings().tenant, at=at or datetime.now(UTC))


@flow
def nightly(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Learn what is normal: features and baselines of the last 30 days; then drop what has expired."""
    who = _who(tenant, at)
    return {
        "features": tasks.build_features(**who),
        "online": tasks.materialize_features(**who),
        "baselines": tasks.build_baselines(**who),
        "expired": tasks.drop_expired(**who),
    }


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]  # Prefect's own generic
def weekly(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Train all kinds of models, evaluate them, and promote what passes the gate."""
    who = _who(tenant, at)
    # The two that take longest end side by side; the short one runs before, so that no core waits for it at the end.
    running = {
        "failure": tasks.fit_failure_model.submit(**who),
        "detectors": tasks.fit_detectors.submit(**who),
        "forecasters": tasks.fit_forecasters.submit(**who),
    }
    reports: Reports = {name: future.result() for name, future in running.items()}
    return {**reports, "evaluation": tasks.evaluate_models(**who), "promotion": tasks.promote_models(**who)}


@flow
def watch(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Look at what is new: score it, forecast, predict failures, weigh hypotheses, send signals."""
    who = _who(tenant, at)
    return {
        "pulled": tasks.pull_metrics(**who),
        "scores": tasks.detect_anomalies(**who),
        "forecasts": tasks.forecast_series(**who),
        "risks": tasks.predict_failures(**who),
        "hypotheses": tasks.diagnose_incidents(**who),
        "deliveries": tasks.deliver_signals(**who),
    }


@flow
def main_job(tenant: str | None = None, at: datetime | None = None) -> Reports:
    """Everything once: what a first run on new data needs."""
    who = _who(tenant, at)
    return {**nightly(**who), **weekly(**who), **watch(**who)}
