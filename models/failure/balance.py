"""Rare failures: plain, weighted or with synthetic neighbours, whichever finds more of what was held out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xgboost as xgb
from imblearn.over_sampling import SMOTE
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from models.failure.learning import CLASSIFIER, Balancer, Floats, Folds, Params, in_parallel, margin, train

Balance = Literal["none", "weights", "smote"]
#: SMOTE fills the rare class up to this share of the other; more makes the many synthetic rows the rule.
SMOTE_SHARE = 0.15
#: Calibration comes later on untouched rows, so weights need only keep the rare class from being ignored.
WEIGHT_POWER = 0.5


@dataclass(frozen=True)
class Candidate:
    """Parameters and a way to balance."""

    balance: Balance
    params: Params


@dataclass(frozen=True)
class Trial:
    """A candidate and the average precision it reached on held-out moments."""

    candidate: Candidate
    average_precision: float


#: Tried in this order, as far as the budget goes.
CANDIDATES = (
    Candidate("none", CLASSIFIER),
    Candidate("weights", CLASSIFIER),
    Candidate("smote", CLASSIFIER),
    Candidate("weights", {**CLASSIFIER, "max_depth": 3, "rounds": 130}),
    Candidate("weights", {**CLASSIFIER, "max_depth": 5, "min_child_weight": 6.0}),
    Candidate("weights", {**CLASSIFIER, "learning_rate": 0.05, "rounds": 160}),
)


def balanced(balance: Balance, seed: int = 0) -> Balancer:
    """The function that balances rows; only ever given rows of a training fold."""

    def plain(x: NDArray[np.float32], y: Floats) -> tuple[NDArray[np.float32], Floats, Floats | None]:
        return x, y, None

    def weights(x: NDArray[np.float32], y: Floats) -> tuple[NDArray[np.float32], Floats, Floats | None]:
        rare = max(float(y.mean()), 1e-6)
        return x, y, np.where(y > 0, ((1 - rare) / rare) ** WEIGHT_POWER, 1.0)

    def smote(x: NDArray[np.float32], y: Floats) -> tuple[NDArray[np.float32], Floats, Floats | None]:
        positives = int(y.sum())
        if positives < 2 or positives >= SMOTE_SHARE * (len(y) - positives):
            return x, y, None
        # Neighbours need distances: unknown values count as the median, and every feature counts alike.
        middle = np.nan_to_num(np.nanmedian(x, axis=0))
        scale = np.nan_to_num(np.nanstd(x, axis=0)) + 1e-9
        filled = (np.where(np.isnan(x), middle, x) - middle) / scale
        sampler = SMOTE(sampling_strategy=SMOTE_SHARE, k_neighbors=min(5, positives - 1), random_state=seed)
        more_x, more_y = sampler.fit_resample(filled, y)
        made = (np.asarray(more_x)[len(x) :] * scale + middle).astype(np.float32)
        return np.vstack([x, made]), np.concatenate([y, np.asarray(more_y, dtype=np.float64)[len(y) :]]), None

    return {"none": plain, "weights": weights, "smote": smote}[balance]


def choose(
    x: NDArray[np.float32], y: Floats, folds: Folds, *, seed: int, count: int, workers: int
) -> tuple[Candidate, tuple[Trial, ...]]:
    """The candidate with the best average precision on the last fold; ties go to the earlier, simpler one."""
    known = ~np.isnan(y)
    hold = folds.hold[-1] & known
    learn = folds.learn[-1] & known
    candidates = CANDIDATES[: max(1, count)]
    if y[hold].sum() == 0 or not 0 < y[learn].sum() < learn.sum():
        return candidates[0], ()

    def job(candidate: Candidate) -> Callable[[], xgb.Booster]:
        def run() -> xgb.Booster:
            rows = balanced(candidate.balance, seed)(x[learn], y[learn])
            return train(rows[0], rows[1], candidate.params, seed=seed, weight=rows[2])

        return run

    fitted = in_parallel([job(candidate) for candidate in candidates], workers)
    trials = [
        Trial(candidate, float(average_precision_score(y[hold], margin([booster], x[hold]))))
        for candidate, booster in zip(candidates, fitted, strict=True)
    ]
    ranked = sorted(trials, key=lambda trial: -trial.average_precision)
    return ranked[0].candidate, tuple(ranked)
