"""Time to failure as a point and a range that holds: boosted trees, and what truly came after like predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models.failure.binned import Floats, Params, Rows
from models.failure.learning import REGRESSOR, Folds, in_parallel, margin, train

#: The levels that are told.
LEVELS = (0.1, 0.5, 0.9)
#: The range at a prediction is taken from this share of the held-out rows, those with the nearest predictions.
NEIGHBOURS = 0.08
KNOTS = 33


@dataclass(frozen=True)
class RemainingTime:
    """A fitted model of the time that remains.

    Attributes:
        boosters: their mean is the prediction.
        cap: times further off are all the same to the prediction; the range is not capped.
        knots: predictions, ascending.
        ranges: (knots, levels), what truly remained after such predictions.
        held_out: predictions of the rows it was fitted on, by models that had not seen them; not kept in files.
    """

    boosters: tuple[xgb.Booster, ...]
    cap: float
    knots: Floats
    ranges: Floats
    held_out: Floats = field(default_factory=lambda: np.empty(0), compare=False)

    def predict(self, x: NDArray[np.float32]) -> Floats:
        """Expected remaining time, in [0, cap], in the unit it was learned in."""
        return np.asarray(np.clip(margin(self.boosters, x), 0.0, self.cap))

    def quantiles(self, x: NDArray[np.float32]) -> Floats:
        """(rows, 3): P10, P50 and P90, ascending; P50 is the prediction."""
        middle = self.predict(x)
        low = np.interp(middle, self.knots, self.ranges[:, 0])
        high = np.interp(middle, self.knots, self.ranges[:, 2])
        return np.column_stack([np.minimum(low, middle), middle, np.maximum(high, middle)])


def fit_remaining(
    x: NDArray[np.float32],
    remaining: Floats,
    folds: Folds,
    *,
    cap: float,
    seed: int,
    workers: int,
    members: int = 2,
    params: Params = REGRESSOR,
    weight: Floats | None = None,
) -> RemainingTime:
    """Learn the capped time; the ranges come from rows that a model had not seen.

    For each prediction the range is the P10 to P90 of the truth over held-out rows with the nearest predictions, which
    is split conformal prediction made local: wide where the model is unsure, narrow where it is not.

    References:
        Lei, J., et al. (2018). Distribution-free predictive inference for regression. JASA 113.
    """
    target = np.minimum(remaining, cap)

    def job(rows: Rows, member: int) -> Callable[[], xgb.Booster]:
        kept = None if weight is None else weight[rows]
        return lambda: train(x[rows], target[rows], params, seed=seed + member, weight=kept)

    everything = np.ones(len(target), dtype=bool)
    jobs = [job(rows, 0) for rows in folds.learn] + [job(everything, member) for member in range(members)]
    fitted = in_parallel(jobs, workers)
    said = np.full(len(target), np.nan)
    for booster, rows in zip(fitted, folds.hold, strict=False):
        if rows.any():
            said[rows] = np.clip(margin([booster], x[rows]), 0.0, cap)
    seen = ~np.isnan(said)
    knots, ranges = _ranges(said[seen], remaining[seen])
    return RemainingTime(tuple(fitted[len(folds.learn) :]), cap, knots, ranges, said)


def _ranges(said: Floats, truth: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(said, kind="stable")
    said, truth = said[order], truth[order]
    width = max(min(len(said), 30), int(NEIGHBOURS * len(said)))
    knots = np.unique(np.quantile(said, np.linspace(0, 1, KNOTS)))
    rows = []
    for knot in knots:
        at = int(np.searchsorted(said, knot))
        first = int(np.clip(at - width // 2, 0, len(said) - width))
        rows.append(np.quantile(truth[first : first + width], LEVELS))
    return knots, np.maximum.accumulate(np.array(rows), axis=0)
