"""Each pipeline step as a Prefect task: it runs one function on the kept platform and retries temporary errors."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from core.clock import FixedClock
from core.errors import InsufficientDataError, ModelUnavailableError, UnavailableError
from flows.progress_listener import current_listener
from pipelines.collect.pull import pull
from pipelines.collect.store_logs import summarise_logs
from pipelines.collect.summarise_traces import summarise_traces
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
from pipelines.processes.temporary_files import own_temporary_folder
from pipelines.watch import (
    compare_replicas,
    deliver,
    detect,
    diagnose,
    forecast,
    predict_failure,
    record_cycle,
)
from pipelines.wiring import kept_platform

R = TypeVar("R")

#: Seconds before the first and the second retry: enough for the restart of a server, then for a fail-over.
RETRY_DELAYS_S = [2.0, 20.0]


def _is_temporary(_task: Any, _run: Any, state: Any) -> bool:
    """Only an unreachable server is worth a retry. Bad input stays bad."""
    return isinstance(state.data, UnavailableError)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The report of a step that was skipped, because its data or its model do not exist yet."""

    reason: str


def step(function: Callable[..., R], *, optional: bool = False) -> Task[..., R | Skipped]:
    """Make the task of a pipeline function.

    The task takes `tenant` and `at` in place of the platform, so that any worker on any machine can run it. It passes
    all other arguments to the function.

    Args:
        optional: with too little data, or without a model, the task returns `Skipped` instead of failing the flow. In
            the first hours there is too little history for any model, and all other steps work.
    """

    @task(
        name=function.__name__,
        description=(function.__doc__ or "").partition("\n")[0],
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=_is_temporary,
        cache_policy=NO_CACHE,
    )
    def run(tenant: str, at: datetime, **arguments: Any) -> R | Skipped:
        own_temporary_folder()  # here, because a Prefect worker runs a flow without any command of ours
        with kept_platform(tenant=tenant, clock=FixedClock(at)) as platform:
            try:
                return function(platform, progress=current_listener(), **arguments)
            except (InsufficientDataError, ModelUnavailableError) as error:
                if not optional:
                    raise
                get_run_logger().warning("%s is skipped: %s", function.__name__, error)
                return Skipped(str(error))

    return run


pull_metrics = step(pull)
summarise_spans = step(summarise_traces)
summarise_log_lines = step(summarise_logs)
build_features = step(features.build_features)
materialize_features = step(features.materialize)
build_baselines = step(baseline.build_baselines)
fit_detectors = step(train_detectors.train_detectors, optional=True)
fit_forecasters = step(train_forecasters.train_forecasters, optional=True)
fit_failure_model = step(train_failure.train_failure, optional=True)
evaluate_models = step(evaluate.evaluate)
promote_models = step(promote.promote)
detect_anomalies = step(detect.detect, optional=True)
compare_peers = step(compare_replicas.compare_replicas)
forecast_series = step(forecast.forecast, optional=True)
predict_failures = step(predict_failure.predict_failure, optional=True)
diagnose_incidents = step(diagnose.diagnose)
deliver_signals = step(deliver.deliver)
keep_cycle = step(record_cycle.record_cycle)
drop_expired = step(apply_retention)
