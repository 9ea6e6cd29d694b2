"""Balances rare failures: with nothing, weights or synthetic neighbours, whichever is best on held-out moments.

References:
    Breiman, L., Friedman, J. H., Olshen, R. A. and Stone, C. J. (1984). Classification and regression trees. Wadsworth
    (the rule of one standard error).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.metrics import average_precision_score

from core.arrays import BoolArray, Float32Array, FloatArray
from models.failure.binned import Balancer, Binned, Params
from models.failure.learning import CLASSIFIER, Folds, has_both, in_parallel, margin

Balance = Literal["none", "weights", "smote"]
#: SMOTE fills the rare class up to this share of the other. With more, synthetic rows would dominate.
SMOTE_SHARE = 0.15
#: Weights only have to keep the rare class from being ignored, because calibration on untouched rows follows.
WEIGHT_POWER = 0.5


@dataclass(frozen=True)
class Candidate:
    """Parameters of the classifiers and a way to balance."""

    balance: Balance
    params: Params


@dataclass(frozen=True)
class Trial:
    """A candidate and its average precision on held-out moments, in [0, 1], mean over the folds."""

    candidate: Candidate
    average_precision: float


#: Tried in this order, up to the number of trials. The first is kept unless another is clearly better. On six simulated
#: fleets weights are better than nothing and SMOTE: precision at 80 % recall is .806, .796 and .794.
CANDIDATES = (
    Candidate("weights", CLASSIFIER),
    Candidate("none", CLASSIFIER),
    Candidate("smote", CLASSIFIER),
    Candidate("weights", {**CLASSIFIER, "max_depth": 3, "rounds": 130}),
    Candidate("weights", {**CLASSIFIER, "max_depth": 5, "min_child_weight": 6.0}),
    Candidate("weights", {**CLASSIFIER, "learning_rate": 0.05, "rounds": 160}),
)


def balancer(balance: Balance, seed: int = 0) -> Balancer:
    """The function that balances rows. Give it only rows of a training fold."""

    def plain(x: Float32Array, y: FloatArray) -> tuple[Float32Array, FloatArray | None]:
        return x[:0], None

    def weights(x: Float32Array, y: FloatArray) -> tuple[Float32Array, FloatArray | None]:
        rare = max(float(y.mean()), 1e-6)
        return x[:0], np.where(y > 0, ((1 - rare) / rare) ** WEIGHT_POWER, 1.0)

    def smote(x: Float32Array, y: FloatArray) -> tuple[Float32Array, FloatArray | None]:
        positives = int(y.sum())
        if positives < 2 or positives >= SMOTE_SHARE * (len(y) - positives):
            return x[:0], None
        # Neighbours need distances, so unknown values become the median, and features are scaled to the same spread.
        # A feature that no row has stays out of it.
        has = ~np.isnan(x).all(axis=0)
        middle, scale = np.zeros_like(x[0]), np.full_like(x[0], 1e-9)
        middle[has] = np.nanmedian(x[:, has], axis=0)
        scale[has] += np.nanstd(x[:, has], axis=0)
        filled = (np.where(np.isnan(x), middle, x) - middle) / scale
        sampler = SMOTE(sampling_strategy=SMOTE_SHARE, k_neighbors=min(5, positives - 1), random_state=seed)
        more, _ = sampler.fit_resample(filled, y)
        return (np.asarray(more)[len(x) :] * scale + middle).astype(np.float32), None

    return {"none": plain, "weights": weights, "smote": smote}[balance]


def choose_candidate(
    x: Float32Array, y: FloatArray, folds: Folds, *, seed: int, count: int, workers: int
) -> tuple[Candidate, tuple[Trial, ...]]:
    """Choose the first candidate whose average precision on held-out folds is not clearly worse than the best.

    Clearly worse means by more than the standard error of the difference over the folds: a block of time holds few
    failures, so the best of many candidates on one block is mostly the luckiest (Breiman et al. 1984).

    Args:
        x: (rows, features), NaN = missing.
        y: 1 = fails within the horizon, 0 = does not, NaN = not known.
        folds: of the rows.
        seed: of the classifiers and of SMOTE.
        count: how many of `CANDIDATES` are tried.
        workers: threads.
    Returns:
        The chosen candidate, and all trials with the best first; no trials if no fold has failures.
    """
    known = ~np.isnan(y)
    candidates = CANDIDATES[: max(1, count)]
    parts = [
        (learn & known, hold & known)
        for learn, hold in zip(folds.learn, folds.hold, strict=True)
        if y[hold & known].sum() > 0 and has_both(y[learn])
    ]
    if not parts:
        return candidates[0], ()

    def job(learn: BoolArray, hold: BoolArray) -> Callable[[], list[float]]:
        def run() -> list[float]:
            binned = Binned(x[learn], max_bin=int(CLASSIFIER["max_bin"]))
            tried = [
                binned.learn(y[learn], one.params, seed=seed, balance=balancer(one.balance, seed))
                for one in candidates
            ]
            return [average_precision_score(y[hold], margin([one], x[hold])) for one in tried]

        return run

    found = np.array(in_parallel([job(learn, hold) for learn, hold in parts], workers)).T
    trials = [Trial(one, float(row.mean())) for one, row in zip(candidates, found, strict=True)]
    return candidates[simplest(found)], tuple(sorted(trials, key=lambda trial: -trial.average_precision))


def simplest(found: FloatArray) -> int:
    """The first candidate that is not clearly worse than the best.

    Args:
        found: (candidates, folds), larger is better.
    Returns:
        Its index.
    """
    behind = found[np.argmax(found.mean(axis=1))] - found
    folds = found.shape[1]
    standard_error = behind.std(axis=1, ddof=1) / np.sqrt(folds) if folds > 1 else np.zeros(len(found))
    return int(np.argmax(behind.mean(axis=1) <= standard_error))
