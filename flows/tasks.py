"""Each pipeline step as a Prefect task; a task opens the platform, runs one plain function, retries what may pass."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from core.clock import FixedClock
from core.errors import InsufficientDataError, ModelUnavailableError, UnavailableError
from flows.listening import current_listener
from pipelines.collect.pull import pull
from pipelines.learn import (
    baseline,
    evaluate,
    features,
    promote,
    train_detectors,
    train_failure,
    train_forecasters,
)
from pipelines.operate.retention import apply_retention
from pipelines.watch import deliver, detect, diagnose, forecast, predict_failure
from pipelines.wiring import open_platform

R = TypeVar("R")

#: Seconds before the first and the second retry: a restart of a server, then a fail-over.
RETRY_DELAYS_S = [2.0, 20.0]


def _may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Only a server that does not answer is worth another try; bad input stays bad."""
    return isinstance(state.data, UnavailableError)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that had nothing to work with yet, and why."""

    reason: str


def step(function: Callable[..., R], *, optional: bool = False) -> Task[..., R | Skipped]:
    """The task of a pipeline function.

    It takes a tenant and the moment to work for in place of the platform, so that any worker on any machine can
    run it; other arguments go to the function.

    Args:
        optional: too little data, or no model yet, skips the step instead of failing the flow: a young
            installation without incidents has no failure model, and everything else works.
    """

    @task(
        name=function.__name__,
        description=(function.__doc__ or "").partition("\n")[0],
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=_may_pass,
        cache_policy=NO_CACHE,
    )
    def run(tenant: str, at: datetime, **arguments: Any) -> R | Skipped:
        with open_platform(tenant=tenant, clock=FixedClock(at)) as platform:
            try:
                return function(platform, progress=current_listener(), **arguments)
            except (InsufficientDataError, ModelUnavailableError) as error:
                if not optional:
                    raise
                get_run_logger().warning("%s is skipped: %s", function.__name__, error)
                return Skipped(str(error))

    return run


pull_metrics = step(pull)
build_features = step(features.build_features)
materialize_features = step(features.materialize)
build_baselines = step(baseline.build_baselines)
fit_detectors = step(train_detectors.train_detectors)
fit_forecasters = step(train_forecasters.train_forecasters, optional=True)
fit_failure_model = step(train_failure.train_failure, optional=True)
evaluate_models = step(evaluate.evaluate)
promote_models = step(promote.promote)
detect_anomalies = step(detect.detect)
forecast_series = step(forecast.forecast, optional=True)
predict_failures = step(predict_failure.predict_failure, optional=True)
diagnose_incidents = step(diagnose.diagnose)
deliver_signals = step(deliver.deliver)
drop_expired = step(apply_retention)
