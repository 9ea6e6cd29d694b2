"""Evaluates a failure model on moments that come after its training window."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from core.arrays import FloatArray
from core.durations import HOUR_S
from models.failure.alarms import alarm_leads
from models.failure.bundle import FailureBundle
from models.failure.calibration import calibration_error
from models.failure.fit import CHOICE_HORIZON_S, GAP_S, MIN_FAILURES, FitPlan, failure_ids, fit_failure
from models.failure.labels import as_known_at, fails_within
from models.failure.measures import coverage, precision_at_recall

#: A model like the final one is trained on this first share of the time, and evaluated on the rest.
LEARN_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFigures:
    """Figures of one horizon, on moments that the model has not seen.

    Attributes:
        moments: number of evaluated moments.
        failures: number of failures among them.
        average_precision: in [0, 1].
        precision_at_80_recall: best precision of a threshold that finds at least 80 % of the positives, in [0, 1].
        calibration_error: mean difference between predicted and observed share, in [0, 1]; 0 is perfect.
        median_lead_h: median lead in hours of the alarms at the alert threshold, over announced failures of slow types.
        announced: share of the failures of slow types that an alarm announced, in [0, 1].
        type_right: share of the moments within the horizon of a failure whose type was predicted right, in [0, 1].
        range_coverage: share of the times to failure between P10 and P90, of those within the longest horizon.
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


def evaluate(
    bundle: FailureBundle,
    future: pl.DataFrame,
    *,
    horizon_s: int = CHOICE_HORIZON_S,
    slow_types: tuple[str, ...] | None = None,
) -> HeldOutFigures | None:
    """Compute the figures of a bundle on labelled moments.

    Args:
        bundle: the model.
        future: moments with the columns that `labels.label` adds.
        horizon_s: horizon in seconds, one of the bundle's.
        slow_types: types of failure whose lead is measured; null = all.
    Returns:
        null if no failure came within the horizon, or nothing else.
    """
    future = future.filter("usable")
    x = features_of(bundle.names, future)
    failure_in = future.get_column("failure_in_s").cast(pl.Float64).fill_null(np.inf).to_numpy()
    y = fails_within(failure_in, future.get_column("known_s").to_numpy(), horizon_s)
    known = ~np.isnan(y)
    if not 0 < y[known].sum() < known.sum():
        return None
    probabilities = bundle.probabilities(x)
    predicted = probabilities[:, bundle.parts.horizons_s.index(horizon_s)]
    alert = probabilities[:, bundle.parts.horizons_s.index(bundle.parts.alert_horizon_s)]
    leads = alarm_leads(future, alert, bundle.parts.alert_threshold)
    if slow_types is not None:
        leads = leads.filter(pl.col("next_type").is_in(slow_types))
    lead = leads.get_column("lead_h").median()
    soon = failure_in <= horizon_s
    types = [risk.likely_type for risk in bundle.predict(future.filter(pl.Series(soon)))]
    true_types = future.get_column("next_type").to_numpy()[soon]
    near = failure_in <= bundle.parts.horizons_s[-1]
    return HeldOutFigures(
        moments=int(known.sum()),
        failures=failure_ids(future.filter(pl.Series(soon))).n_unique(),
        average_precision=float(average_precision_score(y[known], predicted[known])),
        precision_at_80_recall=precision_at_recall(y[known], predicted[known], 0.8),
        calibration_error=calibration_error(predicted[known], y[known]),
        median_lead_h=float(lead) if isinstance(lead, float) else float("nan"),
        announced=1 - leads.get_column("lead_h").null_count() / max(leads.height, 1),
        type_right=float(np.mean([a == b for a, b in zip(types, true_types, strict=True)])),
        range_coverage=_range_coverage(bundle, x[near], failure_in[near] / HOUR_S),
    )


def evaluate_forward(frame: pl.DataFrame, names: tuple[str, ...], plan: FitPlan) -> dict[str, float]:
    """Train a model on the first part of the time, including all choices and calibration, and evaluate it on the rest.

    Args:
        frame: labelled moments.
        names: features.
        plan: as for `fit_failure`.
    Returns:
        `average_precision_3h` and the like for each horizon, and the other figures of `HeldOutFigures`; empty if
        either part has too few failures.
    """
    first, last = frame.select(first=pl.col("ts").min(), last=pl.col("ts").max()).row(0)
    cut = first + (last - first) * LEARN_SHARE
    past = as_known_at(frame, cut)
    future = frame.filter(pl.col("ts") > cut + timedelta(seconds=GAP_S))
    if failure_ids(past.filter("usable")).drop_nulls().n_unique() < MIN_FAILURES or future.is_empty():
        return {}
    bundle, _ = fit_failure(past, names, plan)
    metrics: dict[str, float] = {}
    for horizon_s in bundle.parts.horizons_s:
        figures = evaluate(bundle, future, horizon_s=horizon_s)
        if figures is None:
            continue
        hours = f"{horizon_s / HOUR_S:g}h"
        for name in ("average_precision", "precision_at_80_recall", "calibration_error"):
            metrics[f"{name}_{hours}"] = getattr(figures, name)
        if horizon_s == CHOICE_HORIZON_S:
            for name in ("median_lead_h", "announced", "type_right", "range_coverage"):
                metrics[name] = getattr(figures, name)
            metrics["evaluated_failures"] = float(figures.failures)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def features_of(names: tuple[str, ...], frame: pl.DataFrame) -> np.ndarray:
    """The features as float32 (rows, features), NaN = missing."""
    return frame.select(pl.col(name).cast(pl.Float32) for name in names).to_numpy()


def _range_coverage(bundle: FailureBundle, x: np.ndarray, hours: FloatArray) -> float:
    if bundle.parts.remaining is None or not len(hours):
        return float("nan")
    quantiles = bundle.parts.remaining.quantiles(x)
    return coverage(hours, quantiles[:, 0], quantiles[:, 2])
