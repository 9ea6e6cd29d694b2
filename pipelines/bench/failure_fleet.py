"""Measures failure prediction on a simulated fleet: on later failures, and on services that were not learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from core.arrays import FloatArray
from core.domain import DEFAULT_STEP_S
from core.errors import InsufficientDataError
from features.catalog import FEATURE_NAMES, RESOURCE_BLIND, service_features
from features.feature import RASTER
from features.grid import fleet_grid
from models.failure import FailureBundle, FitPlan, fit_failure, incident_frame, label
from models.failure.evaluation import HeldOutFigures, evaluate, features_of
from models.failure.labels import as_known_at, fails_within
from models.failure.measures import precision_at_recall
from pipelines.bench.failure_peers import fit_logistic, fit_rule
from pipelines.common.progress import Progress, silent
from pipelines.learn.train_failure import CADENCE_S
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Models learn from the first two thirds. The rest, after a gap of a day, is predicted.
LEARN_SHARE = 0.66
GAP = timedelta(hours=24)
HORIZON_S = 3 * 3600
#: The first days have no history to compare with.
WARM_UP = timedelta(days=2)
#: Predictions are made at this interval. Training uses its own interval.
EVERY_S = 1800
#: Causes whose precursors last for hours.
SLOW = ("memory_leak", "disk_full", "pool_exhaustion", "queue_backlog", "latency_creep")
#: One of so many services is left out of training, for the figure on unseen services.
UNSEEN_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBenchReport:
    """Figures of one fleet, at the 3 h horizon.

    Attributes:
        failures: number of failures in the training data.
        known: figures on services with training data.
        unseen: figures on services without.
        peers: (average precision, precision at 80 % recall) of a logistic regression and of a threshold on one level.
    """

    seed: int
    failures: int
    known: HeldOutFigures
    unseen: HeldOutFigures
    peers: Mapping[str, tuple[float, float]]
    balance: str


def bench_fleet(
    seed: int, *, services: int = 20, days: float = 45, progress: Progress = silent
) -> FleetBenchReport:
    """Simulate a fleet, learn from its past and predict its future, for all services and for those left out."""
    progress("fleet", 0, 3)
    moments = fleet_moments(seed, services=services, days=days)
    first, last = moments.select(first=pl.col("ts").min(), last=pl.col("ts").max()).row(0)
    cut = first + (last - first) * LEARN_SHARE
    # Training must not know what happened after the cut.
    past = as_known_at(moments, cut).filter(
        pl.col("ts") >= first + WARM_UP, pl.col("ts").dt.epoch("s") % CADENCE_S == 0
    )
    future = moments.filter((pl.col("ts") > cut + GAP) & pl.col("usable"))
    progress("fleet", 1, 3)
    plan = FitPlan(seed=seed, shared=RESOURCE_BLIND)
    bundle, report = fit_failure(past, FEATURE_NAMES, plan)
    known = _figures(bundle, future)
    progress("fleet", 2, 3)
    names = sorted(moments.get_column("service_id").unique())
    unseen = names[::UNSEEN_EVERY]
    seen = past.filter(~pl.col("service_id").is_in(unseen))
    without_unseen, _ = fit_failure(seen, FEATURE_NAMES, plan)
    unseen_figures = _figures(without_unseen, future.filter(pl.col("service_id").is_in(unseen)))
    progress("fleet", 3, 3)
    return FleetBenchReport(
        seed=seed,
        failures=report.failures,
        known=known,
        unseen=unseen_figures,
        peers=_peers(past, future),
        balance=str(report.params.get("balance", "")),
    )


def fleet_moments(seed: int, *, services: int = 20, days: float = 45, every_s: int = EVERY_S) -> pl.DataFrame:
    """Labelled moments of a simulated fleet, as the feature pipeline produces them."""
    fleet = SimulatedFleet(services=services, days=days, seed=seed, end=END)
    grid = fleet_grid(fleet.samples, fleet.series, fleet.events, start=fleet.start, end=fleet.end)
    frames = [
        service_features(wide, phases=range(0, RASTER, every_s // DEFAULT_STEP_S)).with_columns(
            pl.lit(service).alias("service_id")
        )
        for service, wide in grid.wide()
    ]
    return label(pl.concat(frames), incident_frame(fleet.incidents), known_until=fleet.end)


def _figures(bundle: FailureBundle, future: pl.DataFrame) -> HeldOutFigures:
    found = evaluate(bundle, future, horizon_s=HORIZON_S, slow_types=SLOW)
    if found is None:
        raise InsufficientDataError(
            "no failure happened in the predicted time; simulate more days or services"
        )
    return found


def _peers(past: pl.DataFrame, future: pl.DataFrame) -> dict[str, tuple[float, float]]:
    def outcome(frame: pl.DataFrame) -> FloatArray:
        failure_in = frame.get_column("failure_in_s").cast(pl.Float64).fill_null(np.inf).to_numpy()
        return fails_within(failure_in, frame.get_column("known_s").to_numpy(), HORIZON_S)

    past = past.filter("usable")
    x, y, rows, truth = (
        features_of(FEATURE_NAMES, past),
        outcome(past),
        features_of(FEATURE_NAMES, future),
        outcome(future),
    )
    known = ~np.isnan(truth)
    columns = [index for index, name in enumerate(FEATURE_NAMES) if name.endswith("_level_15m")]
    columns.append(FEATURE_NAMES.index("highest_saturation"))
    peers = {"logistic": fit_logistic(x, y), "rule": fit_rule(x, y, columns)}
    said = {name: score(rows)[known] for name, score in peers.items()}
    return {
        name: (
            float(average_precision_score(truth[known], scores)),
            precision_at_recall(truth[known], scores, 0.8),
        )
        for name, scores in said.items()
    }


def bench_fleets(seeds: Sequence[int], progress: Progress = silent) -> list[FleetBenchReport]:
    """The same on several fleets."""
    return [bench_fleet(seed, progress=progress) for seed in seeds]
