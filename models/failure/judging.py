"""Judging a failure model on moments after those it was made from."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from models.failure.alarms import leads_h
from models.failure.bundle import FailureBundle
from models.failure.calibration import Floats, calibration_error
from models.failure.fit import CHOICE_HORIZON_S, GAP_S, MIN_FAILURES, failure_ids, fit_failure
from models.failure.labels import as_known_at, within
from models.failure.measures import coverage, precision_at_recall

#: A model is judged on the last part of the time, by one like it that was made from the first part.
LEARN_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFigures:
    """Figures at one horizon, on moments that the model has not seen.

    Attributes:
        moments, failures: how many were judged.
        median_lead_h: of alarms at the budget's threshold, over failures of the slow types that they announced.
        announced: share of those failures that an alarm announced.
        type_right: share of moments within the horizon of a failure whose type is told right.
        range_coverage: share of times to failure (of those within the longest horizon) between P10 and P90.
    """

    moments: int
    failures: int
    average_precision: float
    precision_at_80_recall: float
    calibration_error: float
    median_lead_h: float
    announced: float
    type_right: float
    range_coverage: float


def judge(
    bundle: FailureBundle,
    future: pl.DataFrame,
    *,
    horizon_s: int = CHOICE_HORIZON_S,
    slow_types: tuple[str, ...] | None = None,
) -> HeldOutFigures | None:
    """The figures of a bundle on labelled moments; null where no failure or nothing else came within the horizon.

    Args:
        slow_types: types of failure whose lead is told; all where null.
    """
    future = future.filter("usable")
    x = features_of(bundle.names, future)
    failure_in = future.get_column("failure_in_s").cast(pl.Float64).fill_null(np.inf).to_numpy()
    y = within(failure_in, future.get_column("known_s").to_numpy(), horizon_s)
    known = ~np.isnan(y)
    if not 0 < y[known].sum() < known.sum():
        return None
    probabilities = bundle.probabilities(x)
    said = probabilities[:, bundle.parts.horizons_s.index(horizon_s)]
    alert = probabilities[:, bundle.parts.horizons_s.index(bundle.parts.alert_horizon_s)]
    leads = leads_h(future, alert, bundle.parts.alert_threshold)
    if slow_types is not None:
        leads = leads.filter(pl.col("next_type").is_in(slow_types))
    lead = leads.get_column("lead_h").median()
    soon = failure_in <= horizon_s
    told = [risk.likely_type for risk in bundle.predict(future.filter(pl.Series(soon)))]
    truth = future.get_column("next_type").to_numpy()[soon]
    near = failure_in <= bundle.parts.horizons_s[-1]
    return HeldOutFigures(
        moments=int(known.sum()),
        failures=failure_ids(future.filter(pl.Series(soon))).n_unique(),
        average_precision=float(average_precision_score(y[known], said[known])),
        precision_at_80_recall=precision_at_recall(y[known], said[known], 0.8),
        calibration_error=calibration_error(said[known], y[known]),
        median_lead_h=float(lead) if isinstance(lead, float) else float("nan"),
        announced=1 - leads.get_column("lead_h").null_count() / max(leads.height, 1),
        type_right=float(np.mean([a == b for a, b in zip(told, truth, strict=True)])),
        range_coverage=_range_coverage(bundle, x[near], failure_in[near] / 3600),
    )


def judged_forward(
    frame: pl.DataFrame,
    names: tuple[str, ...],
    *,
    seed: int,
    budget_per_week: float,
    shared: tuple[str, ...] = (),
) -> dict[str, float]:
    """Metrics of a model made from the first part of the time alone: chosen, fitted, calibrated; judged on the rest.

    Args:
        frame: labelled moments.
        shared: as for `fit_failure`.
    Returns:
        `average_precision_3h` and the like for each horizon, and the other figures of `HeldOutFigures`; empty if there
        are too few failures in either part.
    """
    first, last = frame.select(first=pl.col("ts").min(), last=pl.col("ts").max()).row(0)
    cut = first + (last - first) * LEARN_SHARE
    past = as_known_at(frame, cut)
    future = frame.filter(pl.col("ts") > cut + timedelta(seconds=GAP_S))
    if failure_ids(past.filter("usable")).drop_nulls().n_unique() < MIN_FAILURES or future.is_empty():
        return {}
    bundle, _ = fit_failure(past, names, seed=seed, budget_per_week=budget_per_week, shared=shared)
    metrics: dict[str, float] = {}
    for horizon_s in bundle.parts.horizons_s:
        judgement = judge(bundle, future, horizon_s=horizon_s)
        if judgement is None:
            continue
        hours = f"{horizon_s / 3600:g}h"
        for name in ("average_precision", "precision_at_80_recall", "calibration_error"):
            metrics[f"{name}_{hours}"] = getattr(judgement, name)
        if horizon_s == CHOICE_HORIZON_S:
            for name in ("median_lead_h", "announced", "type_right", "range_coverage"):
                metrics[name] = getattr(judgement, name)
            metrics["judged_failures"] = float(judgement.failures)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def features_of(names: tuple[str, ...], frame: pl.DataFrame) -> np.ndarray:
    """(rows, features), NaN = missing."""
    return frame.select(pl.col(name).cast(pl.Float32) for name in names).to_numpy()


def _range_coverage(bundle: FailureBundle, x: np.ndarray, hours: Floats) -> float:
    if bundle.parts.remaining is None or not len(hours):
        return float("nan")
    quantiles = bundle.parts.remaining.quantiles(x)
    return coverage(hours, quantiles[:, 0], quantiles[:, 2])
