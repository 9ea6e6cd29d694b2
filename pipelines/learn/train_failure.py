"""Train the failure model on the features that were known at each past moment, and register it."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from core.domain import DEFAULT_STEP_S
from core.errors import InsufficientDataError
from core.service_names import service_id
from core.training import Attempt, Training
from features.catalog import FEATURE_NAMES, RESOURCE_BLIND
from features.leakage import check_training_set
from models.failure import FitPlan, fit_failure, incident_frame, label
from models.failure.balance import Trial
from models.failure.evaluation import evaluate_forward
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.features import EVERY_S, HISTORY, newest_moment, require_features
from pipelines.learn.report import TrainReport
from pipelines.plots.failure import failure_plots

KIND = "failure"
#: The model learns from one moment an hour of each service.
CADENCE_S = 2 * EVERY_S


@one_at_a_time("train/failure")
def train_failure(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Learn from the features and incidents of the 60 days before `at` and register the bundle as challenger.

    Its metrics come from a model that was trained on the first part of that time and tested on the rest.

    Raises:
        InsufficientDataError: there are no features yet.
        LeakageError: a feature contains data from after its moment.
    """
    progress("failure", 0, 4)
    now = newest_moment(platform, at)
    frame = training_set(platform, now)
    progress("failure", 1, 4)
    check_training_set(frame, FEATURE_NAMES)
    seed, budget = platform.settings.seed, platform.settings.alert_budget_per_week
    plan = FitPlan(seed=seed, budget_per_week=budget, shared=RESOURCE_BLIND)
    metrics = evaluate_forward(frame, FEATURE_NAMES, plan)
    progress("failure", 2, 4)
    bundle, report = fit_failure(frame, FEATURE_NAMES, plan)
    progress("failure", 3, 4)
    services = frame.get_column("service_id").n_unique()
    start = frame.select(pl.col("ts").min()).item()
    ref = platform.registry.register(
        KIND,
        bundle.to_files(),
        Training(
            window_start=start,
            window_end=now,
            seed=seed,
            params=report.params | {"features": len(FEATURE_NAMES), "rows": frame.height},
            metrics=metrics | {"failures": float(report.failures)},
            tags={"notes": "; ".join(report.notes)} if report.notes else {},
            attempts=[_attempt(number, trial, report.params) for number, trial in enumerate(report.trials)],
            documents=failure_plots(bundle, frame.filter("usable"), seed=seed),
        ),
    )
    progress("failure", 4, 4)
    skipped = {"failure": "; ".join(report.notes)} if report.notes else {}
    return TrainReport(model=ref, trained=services, skipped=skipped, metrics=metrics)


def _attempt(place: int, trial: Trial, chosen: Mapping[str, str | int | float]) -> Attempt:
    """A candidate of the search. The chosen one need not have the highest precision: the simplest good one is chosen.

    Args:
        chosen: the parameters and the balance of the model that was fitted.
    """
    candidate = trial.candidate
    params = {**candidate.params, "balance": candidate.balance}
    return Attempt(
        name=f"{place + 1}. {candidate.balance}" + (" (chosen)" if params.items() <= chosen.items() else ""),
        params=params,
        metrics={"average_precision": trial.average_precision},
    )


def training_set(platform: Platform, now: datetime) -> pl.DataFrame:
    """Past moments with their features as they were known then, and labels of what happened next, as known at `now`.

    Raises:
        InsufficientDataError: there are no features yet.
    """
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; run `forewarn ingest` first")
    require_features(platform)
    start = newest_moment(platform, max(now - HISTORY, span[0]))
    services = sorted({one.service for one in platform.store.series.find()})
    times = pl.datetime_range(start, now, timedelta(seconds=DEFAULT_STEP_S), time_unit="us", eager=True)
    moments = times.filter(times.dt.epoch("s") % CADENCE_S == 0).alias("ts").to_frame()
    ids = pl.DataFrame({"service_id": [service_id(platform.tenant, service) for service in services]})
    known = platform.features.training_frame(ids.join(moments, how="cross"), FEATURE_NAMES)
    known = known.filter(pl.any_horizontal(pl.col(FEATURE_NAMES).is_not_null()))
    if known.is_empty():
        raise InsufficientDataError(
            "the samples cover less than an hour, which is too short to learn failures from"
        )
    incidents = platform.store.incidents.between(start, now + timedelta(seconds=1))
    return label(known, incident_frame(incidents), known_until=now)
