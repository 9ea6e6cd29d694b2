"""Trains the failure model from labelled moments: folds of time with a gap, calibration, and a fallback."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xgboost as xgb

from core.arrays import BoolArray, Float32Array, FloatArray
from core.durations import HOUR_S
from core.errors import InsufficientDataError
from models.failure.alarms import budget_threshold
from models.failure.balance import Candidate, Trial, balancer, choose_candidate
from models.failure.binned import Params
from models.failure.bundle import FailureBundle
from models.failure.calibration import reliability
from models.failure.labels import FAILURE_HORIZONS_S, fails_within
from models.failure.learning import (
    REGRESSOR,
    FittedHorizon,
    Folds,
    Member,
    Training,
    fit_horizons,
    group_folds,
    time_folds,
    train,
)
from models.failure.parts import FailureParts
from models.failure.remaining import RemainingTime, fit_remaining

#: With fewer failures nothing is learned; the model predicts their rate.
MIN_FAILURES = 12
#: With few failures the model is unsure, so its prediction is mixed with the rate: half and half at this number.
FEW_FAILURES = 40
#: Moments nearer than the longest horizon to a fold know its outcomes. They are left out.
GAP_S = max(FAILURE_HORIZONS_S)
ALERT_HORIZON_S = 6 * HOUR_S
#: Parameters and balance are chosen for this horizon, for which the product promises its figures.
CHOICE_HORIZON_S = 3 * HOUR_S
FOLDS = 3
#: For each horizon two neighbouring horizons are learned too: a third shorter and a half longer.
NEARBY = (2 / 3, 3 / 2)
#: Gap between folds, so that no learned outcome lies in the held-out block.
FOLD_GAP_S = GAP_S * max(NEARBY)
#: With fewer moments before failures, neither times nor types are learned.
MIN_NEAR_MOMENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """How a failure model is trained.

    Attributes:
        seed: of everything random.
        budget_per_week: acceptable false alarms per week over all services; sets the alert threshold.
        horizons_s: horizons in seconds, ascending.
        workers: threads.
        trials: how many candidates of parameters and balance are tried.
        shared: features that mean the same for every resource. Knowledge from failures of one resource carries over to
            the others through them. So one classifier of a horizon uses all features, and the others use only these.
    """

    seed: int
    budget_per_week: float = 5.0
    horizons_s: tuple[int, ...] = FAILURE_HORIZONS_S
    workers: int = 2
    trials: int = 4
    shared: tuple[str, ...] = ()

    @property
    def alert_horizon_s(self) -> int:
        """The horizon whose probability is compared with the alert threshold, in seconds."""
        return min(ALERT_HORIZON_S, self.horizons_s[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What was chosen, and from how much data. `models.failure.evaluation` measures how good it is.

    Attributes:
        params: chosen parameters.
        trials: each candidate with its average precision; the best comes first.
        failures: number of failures in the training window.
        notes: what a reader must know, such as how few failures there were.
    """

    params: dict[str, float | int | str]
    trials: tuple[Trial, ...]
    failures: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Moments:
    """The usable moments as arrays of length n.

    Attributes:
        frame: the same moments as a frame.
        x: (n, features), NaN = missing.
        ts: epoch seconds.
        failure_in: seconds to the next failure; inf = none known.
        known: for how many seconds ahead failures are known.
    """

    frame: pl.DataFrame
    x: Float32Array
    ts: FloatArray
    failure_in: FloatArray
    known: FloatArray

    def fails_within(self, horizon_s: float) -> FloatArray:
        """1 = fails within the horizon, 0 = does not, NaN = not known."""
        return fails_within(self.failure_in, self.known, horizon_s)


def fit_failure(
    frame: pl.DataFrame, names: tuple[str, ...], plan: FitPlan
) -> tuple[FailureBundle, FitReport]:
    """Train a failure model from labelled moments.

    Args:
        frame: `service_id`, `ts`, the features `names`, and the columns that `labels.label` adds.
        names: features.
        plan: how to train.
    Returns:
        The fitted bundle. With fewer than `MIN_FAILURES` failures it predicts their rate.
    Raises:
        InsufficientDataError: there is no usable moment.
    """
    moments = _moments(frame, names)
    failures = failure_ids(moments.frame).drop_nulls().n_unique()
    base = _base_rates(moments.frame, failures, plan.horizons_s)
    if failures < MIN_FAILURES:
        return _rate_only(names, plan, base, failures)
    folds = time_folds(moments.ts, FOLDS, FOLD_GAP_S)
    shared = np.isin(names, plan.shared) if plan.shared else None
    candidate, tried = choose_candidate(
        # Most of the classifiers use only the shared features, and fewer features are faster to try.
        moments.x if shared is None else moments.x[:, shared],
        moments.fails_within(min(CHOICE_HORIZON_S, plan.horizons_s[-1])),
        folds,
        seed=plan.seed,
        count=plan.trials,
        workers=plan.workers,
    )
    fitted = _fit_classifiers(moments, folds, shared, candidate, plan)
    trust = failures / (failures + FEW_FAILURES) if failures < 2 * FEW_FAILURES else 1.0
    remaining, types, type_names = _fit_time_and_type(moments, candidate.params, plan)
    notes = _notes(failures)
    bundle = FailureBundle(
        FailureParts(
            names=names,
            horizons_s=plan.horizons_s,
            base=base,
            alert_horizon_s=plan.alert_horizon_s,
            boosters=tuple(fitted[h].boosters for h in plan.horizons_s),
            calibrators=tuple(fitted[h].calibrator for h in plan.horizons_s),
            remaining=remaining,
            types=types,
            type_names=type_names,
            alert_threshold=_alert_threshold(moments, fitted, base, trust, plan),
            trust=trust,
            failures=failures,
            notes=notes,
            reliability={
                h: _reliability(moments.fails_within(h), fitted[h].held_out) for h in plan.horizons_s
            },
        )
    )
    params = {**candidate.params, "balance": candidate.balance, "folds": FOLDS, "gap_s": FOLD_GAP_S}
    return bundle, FitReport(params=params, trials=tried, failures=failures, notes=notes)


def _moments(frame: pl.DataFrame, names: tuple[str, ...]) -> _Moments:
    usable = frame.filter("usable").sort("ts", "service_id")
    if usable.is_empty():
        raise InsufficientDataError("no moment outside incidents to learn failures from")
    return _Moments(
        frame=usable,
        x=usable.select(names).to_numpy().astype(np.float32),
        ts=usable.get_column("ts").dt.epoch("s").to_numpy().astype(np.float64),
        failure_in=usable.get_column("failure_in_s").cast(pl.Float64).fill_null(np.inf).to_numpy(),
        known=usable.get_column("known_s").to_numpy(),
    )


def _rate_only(
    names: tuple[str, ...], plan: FitPlan, base: tuple[float, ...], failures: int
) -> tuple[FailureBundle, FitReport]:
    """A model that predicts the rate of failures, whatever the features are."""
    note = f"Only {failures} failures are known. The model predicts their rate; it has learned no risk."
    parts = FailureParts(
        names=names,
        horizons_s=plan.horizons_s,
        base=base,
        alert_horizon_s=plan.alert_horizon_s,
        notes=(note,),
        failures=failures,
    )
    return FailureBundle(parts), FitReport(params={}, trials=(), failures=failures, notes=(note,))


def _fit_classifiers(
    moments: _Moments, folds: Folds, shared: BoolArray | None, candidate: Candidate, plan: FitPlan
) -> dict[int, FittedHorizon]:
    """The classifiers of each horizon, by horizon in seconds."""
    fitted = fit_horizons(
        moments.x,
        [_members(moments, h, shared) for h in plan.horizons_s],
        Training(folds=folds, seed=plan.seed, workers=plan.workers, params=candidate.params),
        balance=balancer(candidate.balance, plan.seed),
    )
    return dict(zip(plan.horizons_s, fitted, strict=True))


def _members(moments: _Moments, horizon_s: int, shared: BoolArray | None) -> list[Member]:
    """The classifiers of a horizon: one for it, two for its neighbours; if these use shared features, one with all."""
    itself = moments.fails_within(horizon_s)
    nearby = [Member(moments.fails_within(share * horizon_s), shared) for share in NEARBY]
    return [Member(itself), *nearby] if shared is None else [Member(itself, shared), *nearby, Member(itself)]


def _alert_threshold(
    moments: _Moments,
    fitted: dict[int, FittedHorizon],
    base: tuple[float, ...],
    trust: float,
    plan: FitPlan,
) -> float:
    """The threshold that keeps false alarms within the budget, on held-out probabilities.

    The bundle mixes its probabilities with the rate, so these are mixed too: an unmixed threshold might be unreachable.
    """
    alert_s = plan.alert_horizon_s
    alert = trust * fitted[alert_s].held_out + (1 - trust) * base[plan.horizons_s.index(alert_s)]
    known = ~np.isnan(alert)
    return budget_threshold(
        moments.frame.filter(pl.Series(known)),
        alert[known],
        moments.fails_within(alert_s)[known],
        plan.budget_per_week,
    )


def _notes(failures: int) -> tuple[str, ...]:
    if failures >= 2 * FEW_FAILURES:
        return ()
    return (f"Only {failures} failures are known. Probabilities are drawn towards the rate of failures.",)


def _reliability(y: FloatArray, held_out: FloatArray) -> tuple[tuple[float, float, float], ...]:
    known = ~np.isnan(held_out)
    return tuple((a, b, c) for a, b, c in reliability(held_out[known], y[known]).tolist())


def failure_ids(frame: pl.DataFrame) -> pl.Series:
    """An identifier of the failure that follows each moment; null if none is known."""
    at = pl.col("ts").dt.epoch("s").cast(pl.Float64) + pl.col("failure_in_s")
    return frame.select(
        pl.concat_str("service_id", at.cast(pl.Int64).cast(pl.String), separator="@")
    ).to_series()


def _base_rates(usable: pl.DataFrame, failures: int, horizons_s: tuple[int, ...]) -> tuple[float, ...]:
    """Probability of a failure within each horizon from the rate alone: Poisson, with Jeffreys' prior (+ 0.5)."""
    seconds = usable.get_column("ts").dt.epoch("s").to_numpy()
    span_s = max(float(seconds.max() - seconds.min()), 3600.0)
    rate = (failures + 0.5) / (span_s * usable.get_column("service_id").n_unique())
    return tuple(float(-np.expm1(-rate * horizon_s)) for horizon_s in horizons_s)


def _fit_time_and_type(
    moments: _Moments, params: Params, plan: FitPlan
) -> tuple[RemainingTime | None, xgb.Booster | None, tuple[str, ...]]:
    """Learn the time to a failure and its type from the moments before failures.

    Moments whose horizon reaches beyond the data are left out, because only their quick failures are known.

    Returns:
        Time, classifier of types, and its classes; null if there are too few moments or types.
    """
    horizon_s = plan.horizons_s[-1]
    near = (moments.failure_in <= horizon_s) & (moments.known >= horizon_s)
    if near.sum() < MIN_NEAR_MOMENTS:
        return None, None, ()
    x, hours = moments.x[near], moments.failure_in[near] / HOUR_S
    ids = failure_ids(moments.frame).to_numpy()[near]
    groups = np.unique(ids, return_inverse=True)[1]
    # A slow failure has more moments before it than a quick one. Each failure gets the same total weight.
    weight = 1.0 / np.bincount(groups)[groups]
    weight *= len(weight) / weight.sum()
    remaining = fit_remaining(
        x,
        hours,
        Training(
            folds=group_folds(groups, FOLDS, plan.seed),
            seed=plan.seed,
            workers=plan.workers,
            params={**REGRESSOR, "min_child_weight": 20.0, "rounds": 120},
        ),
        cap=horizon_s / HOUR_S,
        weight=weight,
    )
    names = moments.frame.get_column("next_type").to_numpy()[near]
    classes = tuple(sorted(set(names.tolist())))
    if len(classes) < 2:
        return remaining, None, classes
    label = np.searchsorted(np.array(classes), names).astype(np.float64)
    # The nearer the failure, the clearer its type.
    nearness = 1.0 / (1.0 + hours)
    multi: Params = {**params, "objective": "multi:softprob", "num_class": len(classes), "rounds": 40}
    return remaining, train(x, label, multi, seed=plan.seed, weight=nearness), classes
