"""Predicts the time to failure with boosted trees, and a range from the true times after similar predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xgboost as xgb

from core.arrays import BoolArray, Float32Array, FloatArray
from models.failure.learning import Training, in_parallel, margin, train

#: The predicted quantiles.
LEVELS = (0.1, 0.5, 0.9)
#: The range of a prediction comes from this share of the held-out rows, those with the nearest predictions.
NEIGHBOURS = 0.08
KNOTS = 33
#: Boosters whose mean is the prediction.
MEMBERS = 2


@dataclass(frozen=True)
class RemainingTime:
    """A fitted model of the remaining time, in the unit in which it was learned.

    Attributes:
        boosters: their mean is the prediction.
        cap: longest time that is predicted; the range is not capped.
        knots: predictions, ascending.
        ranges: (knots, levels), quantiles of the true time after such predictions.
        held_out: predictions of the training rows by models that had not seen them, NaN = none; not stored in files.
    """

    boosters: tuple[xgb.Booster, ...]
    cap: float
    knots: FloatArray
    ranges: FloatArray
    held_out: FloatArray = field(default_factory=lambda: np.empty(0), compare=False)

    def predict(self, x: Float32Array) -> FloatArray:
        """Predict the remaining time of each row, in [0, cap]; `x` is (rows, features), NaN = missing."""
        return np.asarray(np.clip(margin(self.boosters, x), 0.0, self.cap))

    def quantiles(self, x: Float32Array) -> FloatArray:
        """P10, P50 and P90 of each row, (rows, 3), ascending; P50 is the prediction."""
        middle = self.predict(x)
        low = np.interp(middle, self.knots, self.ranges[:, 0])
        high = np.interp(middle, self.knots, self.ranges[:, 2])
        return np.column_stack([np.minimum(low, middle), middle, np.maximum(high, middle)])


def fit_remaining(
    x: Float32Array,
    remaining: FloatArray,
    training: Training,
    *,
    cap: float,
    weight: FloatArray | None = None,
) -> RemainingTime:
    """Train a model of the capped time, with ranges from held-out rows.

    The range of a prediction is P10 to P90 of the true times of the held-out rows with the nearest predictions. This is
    split conformal prediction made local: wide where the model is unsure, narrow where it is sure.

    Args:
        x: (rows, features), NaN = missing.
        remaining: true time of each row.
        training: folds of the rows, seed, threads and parameters.
        cap: longest time that is predicted.
        weight: of each row; null = all the same.

    References:
        Lei, J., et al. (2018). Distribution-free predictive inference for regression. JASA 113.
    """
    target = np.minimum(remaining, cap)

    def job(rows: BoolArray, member: int) -> Callable[[], xgb.Booster]:
        kept = None if weight is None else weight[rows]
        return lambda: train(x[rows], target[rows], training.params, seed=training.seed + member, weight=kept)

    folds, everything = training.folds, np.ones(len(target), dtype=bool)
    jobs = [job(rows, 0) for rows in folds.learn] + [job(everything, member) for member in range(MEMBERS)]
    fitted = in_parallel(jobs, training.workers)
    predicted = np.full(len(target), np.nan)
    for booster, rows in zip(fitted, folds.hold, strict=False):
        if rows.any():
            predicted[rows] = np.clip(margin([booster], x[rows]), 0.0, cap)
    seen = ~np.isnan(predicted)
    knots, ranges = _ranges(predicted[seen], remaining[seen])
    return RemainingTime(tuple(fitted[len(folds.learn) :]), cap, knots, ranges, predicted)


def _ranges(predicted: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(predicted, kind="stable")
    predicted, truth = predicted[order], truth[order]
    width = max(min(len(predicted), 30), int(NEIGHBOURS * len(predicted)))
    knots = np.unique(np.quantile(predicted, np.linspace(0, 1, KNOTS)))
    rows = []
    for knot in knots:
        at = int(np.searchsorted(predicted, knot))
        first = int(np.clip(at - width // 2, 0, len(predicted) - width))
        rows.append(np.quantile(truth[first : first + width], LEVELS))
    return knots, np.maximum.accumulate(np.array(rows), axis=0)
