"""Train the failure model on the features that were known at each past moment, and register it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.domain import DEFAULT_STEP_S, Incident
from core.errors import InsufficientDataError
from core.service_names import service_id
from core.training import Attempt, Training
from features.catalog import FEATURE_NAMES, RESOURCE_BLIND
from features.leakage import check_training_set
from models.failure import FitPlan, fit_failure, incident_frame, label
from models.failure.balance import Trial
from models.failure.evaluation import evaluate_forward
from models.failure.sampling import cadence_of, services_to_learn_from
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
    chosen = moments_to_learn_from(platform, now)
    frame = training_set(platform, chosen)
    progress("failure", 1, 4)
    check_training_set(frame, FEATURE_NAMES)
    seed, budget = platform.settings.seed, platform.settings.alert_budget_per_week
    # The false alarms of some services are a share of those of all.
    plan = FitPlan(seed=seed, budget_per_week=budget * chosen.share, shared=RESOURCE_BLIND)
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
            params=report.params
            | {
                "features": len(FEATURE_NAMES),
                "rows": frame.height,
                "services": len(chosen.services),
                "services_of_fleet": chosen.of_services,
                "cadence_s": chosen.cadence_s,
            },
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenMoments:
    """The moments of services that a model learns from.

    Attributes:
        incidents: of the whole fleet, from `start` to `end`.
        of_services: how many services the fleet has.
    """

    start: datetime
    end: datetime
    services: Sequence[str]
    of_services: int
    cadence_s: int
    incidents: Sequence[Incident]

    @property
    def share(self) -> float:
        """The share of the services of the fleet that were chosen, above 0."""
        return len(self.services) / max(self.of_services, 1)


def moments_to_learn_from(platform: Platform, now: datetime) -> ChosenMoments:
    """Choose services and times of the 60 days before `now`: all of a small fleet, a random part of a large one.

    Raises:
        InsufficientDataError: there are no features yet.
    """
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; run `forewarn ingest` first")
    require_features(platform)
    start = newest_moment(platform, max(now - HISTORY, span[0]))
    every = sorted({one.service for one in platform.store.series.find()})
    incidents = platform.store.incidents.between(start, now + timedelta(seconds=1))
    failures = Counter(incident.service for incident in incidents)
    services = services_to_learn_from(every, failures, platform.settings.seed)
    times = int((now - start).total_seconds()) // CADENCE_S + 1
    return ChosenMoments(
        start=start,
        end=now,
        services=services,
        of_services=len(every),
        cadence_s=cadence_of(len(services) * times, CADENCE_S),
        incidents=incidents,
    )


def training_set(platform: Platform, chosen: ChosenMoments) -> pl.DataFrame:
    """Past moments with their features as they were known then, and labels of what happened next, as known at the end.

    Raises:
        InsufficientDataError: there are no features of these moments.
    """
    step = timedelta(seconds=DEFAULT_STEP_S)
    times = pl.datetime_range(chosen.start, chosen.end, step, time_unit="us", eager=True)
    moments = times.filter(times.dt.epoch("s") % chosen.cadence_s == 0).alias("ts").to_frame()
    ids = pl.DataFrame({"service_id": [service_id(platform.tenant, one) for one in chosen.services]})
    known = platform.features.training_frame(ids.join(moments, how="cross"), FEATURE_NAMES)
    known = known.filter(pl.any_horizontal(pl.col(FEATURE_NAMES).is_not_null()))
    if known.is_empty():
        raise InsufficientDataError(
            "the samples cover less than an hour, which is too short to learn failures from"
        )
    return label(known, incident_frame(chosen.incidents), known_until=chosen.end)
