"""Learning the failure model from labelled moments: folds of time with a gap, calibration, and a fallback."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xgboost as xgb
from numpy.typing import NDArray

from core.errors import InsufficientDataError
from models.failure.alarms import budget_threshold
from models.failure.balance import Trial, balanced, choose
from models.failure.binned import Floats, Params
from models.failure.bundle import FailureBundle
from models.failure.calibration import reliability
from models.failure.labels import HORIZONS_S, within
from models.failure.learning import (
    REGRESSOR,
    Member,
    fit_horizons,
    group_folds,
    time_folds,
    train,
)
from models.failure.parts import FailureParts
from models.failure.remaining import RemainingTime, fit_remaining

#: Fewer failures than this teach nothing: their rate answers alone.
MIN_FAILURES = 12
#: Fewer than this teach, but not to be sure: the answer is mixed with the rate, half and half at this number.
FEW_FAILURES = 40
#: Moments nearer than the longest horizon to a fold know its outcome, and are left out.
GAP_S = max(HORIZONS_S)
ALERT_HORIZON_S = 6 * 3600
#: Parameters and balance are chosen for this horizon, the one that the product promises on.
CHOICE_HORIZON_S = 3 * 3600
FOLDS = 3
#: Beside each horizon its two neighbours are learned, a third shorter and a half longer.
NEARBY = (2 / 3, 3 / 2)
#: Between folds, so that no outcome that is learned lies in the held-out block.
FOLD_GAP_S = GAP_S * max(NEARBY)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What was chosen, and from how much; how good it is, `models.failure.judging` finds out.

    Attributes:
        trials: each candidate with its average precision; the first is the chosen one.
    """

    params: dict[str, float | int | str]
    trials: tuple[Trial, ...]
    failures: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Moments:
    """The usable moments as arrays."""

    frame: pl.DataFrame
    x: NDArray[np.float32]
    ts: Floats
    failure_in: Floats
    known: Floats


def fit_failure(
    frame: pl.DataFrame,
    names: tuple[str, ...],
    *,
    seed: int,
    budget_per_week: float = 5.0,
    horizons_s: tuple[int, ...] = HORIZONS_S,
    workers: int = 2,
    trials: int = 4,
    shared: tuple[str, ...] = (),
) -> tuple[FailureBundle, FitReport]:
    """Learn from labelled moments.

    Args:
        frame: `service_id`, `ts`, the features `names`, and the columns that `labels.label` adds.
        budget_per_week: bearable false alarms a week over all services; sets the alert threshold.
        trials: how many candidates of parameters and balance are tried.
        shared: those of `names` that mean the same of every resource. What one kind of failure teaches, they tell of
            the others; so, of the classifiers of a horizon, one sees everything and the others see these alone.
    Raises:
        InsufficientDataError: there is no usable moment.
    """
    moments = _moments(frame, names)
    failures = failure_ids(moments.frame).drop_nulls().n_unique()
    base = _base_rates(moments.frame, failures, horizons_s)
    alert_s = min(ALERT_HORIZON_S, horizons_s[-1])
    if failures < MIN_FAILURES:
        note = f"only {failures} failures are known: the answer is their rate, not a learned risk"
        bundle = FailureBundle(
            FailureParts(
                names=names,
                horizons_s=horizons_s,
                base=base,
                alert_horizon_s=alert_s,
                notes=(note,),
                failures=failures,
            )
        )
        return bundle, FitReport(params={}, trials=(), failures=failures, notes=(note,))
    notes = _notes(failures)
    folds = time_folds(moments.ts, FOLDS, FOLD_GAP_S)
    y = {h: within(moments.failure_in, moments.known, h) for h in horizons_s}
    columns = np.isin(names, shared) if shared else None
    chosen, tried = choose(
        # As most of the classifiers see it, which is also the quicker way to try.
        moments.x if columns is None else moments.x[:, columns],
        y[min(CHOICE_HORIZON_S, horizons_s[-1])],
        folds,
        seed=seed,
        count=trials,
        workers=workers,
    )
    fitted = dict(
        zip(
            horizons_s,
            fit_horizons(
                moments.x,
                [_members(moments, h, columns) for h in horizons_s],
                folds,
                seed=seed,
                workers=workers,
                params=chosen.params,
                balance=balanced(chosen.balance, seed),
            ),
            strict=True,
        )
    )
    trust = failures / (failures + FEW_FAILURES) if failures < 2 * FEW_FAILURES else 1.0
    # What the bundle will say is drawn towards the rate; a threshold for other numbers would never be reached.
    alert = trust * fitted[alert_s].held_out + (1 - trust) * base[horizons_s.index(alert_s)]
    seen = ~np.isnan(alert)
    threshold = budget_threshold(
        moments.frame.filter(pl.Series(seen)), alert[seen], y[alert_s][seen], budget_per_week
    )
    remaining, types, type_names = _fit_near(moments, horizons_s[-1], chosen.params, seed, workers)
    bundle = FailureBundle(
        FailureParts(
            names=names,
            horizons_s=horizons_s,
            base=base,
            alert_horizon_s=alert_s,
            boosters=tuple(fitted[h].boosters for h in horizons_s),
            calibrators=tuple(fitted[h].calibrator for h in horizons_s),
            remaining=remaining,
            types=types,
            type_names=type_names,
            alert_threshold=threshold,
            trust=trust,
            failures=failures,
            notes=notes,
            reliability={h: _reliability(y[h], fitted[h].held_out) for h in horizons_s},
        )
    )
    params = {**chosen.params, "balance": chosen.balance, "folds": FOLDS, "gap_s": FOLD_GAP_S}
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


def _members(moments: _Moments, horizon_s: int, shared: NDArray[np.bool_] | None) -> list[Member]:
    """Who learns of a horizon: it and its neighbours, and where those see only what is shared, it from everything."""
    itself = within(moments.failure_in, moments.known, horizon_s)
    nearby = [
        Member(within(moments.failure_in, moments.known, share * horizon_s), shared) for share in NEARBY
    ]
    return [Member(itself), *nearby] if shared is None else [Member(itself, shared), *nearby, Member(itself)]


def _notes(failures: int) -> tuple[str, ...]:
    if failures >= 2 * FEW_FAILURES:
        return ()
    return (f"only {failures} failures are known: probabilities are drawn towards their plain rate",)


def _reliability(y: Floats, held_out: Floats) -> tuple[tuple[float, float, float], ...]:
    seen = ~np.isnan(held_out)
    return tuple((a, b, c) for a, b, c in reliability(held_out[seen], y[seen]).tolist())


def failure_ids(frame: pl.DataFrame) -> pl.Series:
    """Names the failure that follows each moment; null where none is known."""
    at = pl.col("ts").dt.epoch("s").cast(pl.Float64) + pl.col("failure_in_s")
    return frame.select(
        pl.concat_str("service_id", at.cast(pl.Int64).cast(pl.String), separator="@")
    ).to_series()


def _base_rates(usable: pl.DataFrame, failures: int, horizons_s: tuple[int, ...]) -> tuple[float, ...]:
    """Chance of a failure by the rate alone: Poisson, with half a failure added (Jeffreys' prior)."""
    seconds = usable.get_column("ts").dt.epoch("s").to_numpy()
    span_s = max(float(seconds.max() - seconds.min()), 3600.0)
    rate = (failures + 0.5) / (span_s * usable.get_column("service_id").n_unique())
    return tuple(float(-np.expm1(-rate * horizon_s)) for horizon_s in horizons_s)


def _fit_near(
    moments: _Moments, horizon_s: int, params: Params, seed: int, workers: int
) -> tuple[RemainingTime | None, xgb.Booster | None, tuple[str, ...]]:
    """From the moments before failures alone: how long it takes, and of which type it is.

    Moments whose horizon reaches beyond the data are left out, for only the quick failures of those are known.
    """
    near = (moments.failure_in <= horizon_s) & (moments.known >= horizon_s)
    if near.sum() < 50:
        return None, None, ()
    x, hours = moments.x[near], moments.failure_in[near] / 3600
    ids = failure_ids(moments.frame).to_numpy()[near]
    groups = np.unique(ids, return_inverse=True)[1]
    # The cadence gives a slow and a quick failure as many moments as they have hours; each failure weighs the same.
    weight = 1.0 / np.bincount(groups)[groups]
    weight *= len(weight) / weight.sum()
    remaining = fit_remaining(
        x,
        hours,
        group_folds(groups, FOLDS, seed),
        cap=horizon_s / 3600,
        seed=seed,
        workers=workers,
        params={**REGRESSOR, "min_child_weight": 20.0, "rounds": 120},
        weight=weight,
    )
    names = moments.frame.get_column("next_type").to_numpy()[near]
    classes = tuple(sorted(set(names.tolist())))
    if len(classes) < 2:
        return remaining, None, classes
    label = np.searchsorted(np.array(classes), names).astype(np.float64)
    # The nearer the failure, the clearer its kind.
    nearness = 1.0 / (1.0 + hours)
    multi: Params = {**params, "objective": "multi:softprob", "num_class": len(classes), "rounds": 40}
    return remaining, train(x, label, multi, seed=seed, weight=nearness), classes
