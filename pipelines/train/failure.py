"""Train failure prediction on what Feast knew at each past moment, and register it."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from core.domain import DEFAULT_STEP_S, service_id
from core.errors import InsufficientDataError
from core.ports import Training
from features.catalog import FEATURE_NAMES
from features.leakage import check_training_set
from models.failure import fit_failure, incident_frame, label
from pipelines.features import EVERY_S, HISTORY, newest_moment
from pipelines.progress import Progress, silent
from pipelines.train.report import TrainReport

if TYPE_CHECKING:
    from pipelines.wiring import Platform

KIND = "failure"
#: One moment an hour of each service is learned from.
CADENCE_S = 2 * EVERY_S


def train_failure(
    platform: "Platform", *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Learn from the features and incidents of the 60 days before `at` and register the bundle as challenger.

    Raises:
        InsufficientDataError: there are no features yet.
        LeakageError: a feature knows what came next.
    """
    progress("failure", 0, 3)
    now = newest_moment(platform, at)
    frame = training_set(platform, now)
    progress("failure", 1, 3)
    check_training_set(frame, FEATURE_NAMES)
    bundle, report = fit_failure(
        frame,
        FEATURE_NAMES,
        seed=platform.settings.seed,
        budget_per_week=platform.settings.alert_budget_per_week,
    )
    progress("failure", 2, 3)
    services = frame.get_column("service_id").n_unique()
    start = frame.select(pl.col("ts").min()).item()
    ref = platform.registry.register(
        KIND,
        bundle.to_files(),
        Training(
            window_start=start,
            window_end=now,
            seed=platform.settings.seed,
            params=report.params | {"features": len(FEATURE_NAMES), "rows": frame.height},
            metrics=report.metrics | {"failures": float(report.failures)},
            tags={"notes": "; ".join(report.notes)} if report.notes else {},
        ),
    )
    progress("failure", 3, 3)
    skipped = {"failure": "; ".join(report.notes)} if report.notes else {}
    return TrainReport(model=ref, trained=services, skipped=skipped, metrics=report.metrics)


def training_set(platform: "Platform", now: datetime) -> pl.DataFrame:
    """Past moments with their features as they were known then, and what came after them, as known at `now`.

    Raises:
        InsufficientDataError: there are no features yet.
    """
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; ingest some first")
    start = newest_moment(platform, max(now - HISTORY, span[0]))
    services = sorted({one.service for one in platform.store.series.find()})
    times = pl.datetime_range(start, now, timedelta(seconds=DEFAULT_STEP_S), time_unit="us", eager=True)
    moments = times.filter(times.dt.epoch("s") % CADENCE_S == 0).alias("ts").to_frame()
    ids = pl.DataFrame({"service_id": [service_id(platform.tenant, service) for service in services]})
    known = platform.features.training_frame(ids.join(moments, how="cross"), FEATURE_NAMES)
    known = known.filter(pl.any_horizontal(pl.col(FEATURE_NAMES).is_not_null()))
    if known.is_empty():
        raise InsufficientDataError("there are no features yet; run `forewarn features build` first")
    incidents = platform.store.incidents.between(start, now + timedelta(seconds=1))
    return label(known, incident_frame(incidents), known_until=now)
