"""The learners that the failure model is made of: gradient-boosted trees with held-out predictions."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models.failure.calibration import Calibrator, fit_calibrator

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Params = Mapping[str, float | int | str]
#: Rows to learn from, made of rows of a training fold: (features, outcome) -> (features, outcome, weight).
Balancer = Callable[[NDArray[np.float32], Floats], tuple[NDArray[np.float32], Floats, Floats | None]]

#: Shallow, slow, and each tree sees a quarter of the features: right for a hundred failures among thousands of moments.
CLASSIFIER: Params = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_bin": 64,
    "max_depth": 4,
    "learning_rate": 0.08,
    "subsample": 0.8,
    "colsample_bytree": 0.25,
    "min_child_weight": 3.0,
    "reg_lambda": 3.0,
    "rounds": 100,
}
#: For times: many rows a run that say nearly the same, hence the heavy leaves.
REGRESSOR: Params = {
    **CLASSIFIER,
    "objective": "reg:squarederror",
    "max_depth": 5,
    "learning_rate": 0.05,
    "subsample": 0.6,
    "colsample_bytree": 0.3,
    "min_child_weight": 50.0,
    "rounds": 200,
}


def train(
    x: NDArray[np.float32], y: Floats, params: Params, *, seed: int, weight: Floats | None = None
) -> xgb.Booster:
    """One booster.

    One thread each, and threads of our own around them (`in_parallel`): OpenMP's threads wait for each other by
    spinning, many times slower as soon as another process wants a core, and sums would depend on their number.
    """
    chosen = {name: value for name, value in params.items() if name != "rounds"} | {
        "seed": seed,
        "nthread": 1,
    }
    data = xgb.QuantileDMatrix(x, y, weight=weight, max_bin=int(params.get("max_bin", 256)), nthread=1)
    return xgb.train(chosen, data, int(params["rounds"]))


def margin(boosters: Sequence[xgb.Booster], x: NDArray[np.float32]) -> Floats:
    """What the trees add up to, the mean over the boosters: log-odds, or the value itself for a regressor."""
    said = [np.asarray(one.inplace_predict(x, predict_type="margin"), dtype=np.float64) for one in boosters]
    return np.asarray(np.mean(said, axis=0))


def in_parallel(jobs: Sequence[Callable[[], xgb.Booster]], workers: int) -> list[xgb.Booster]:
    """The results of the jobs, in their order; XGBoost frees the interpreter while it learns."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


@dataclass(frozen=True)
class Folds:
    """Which rows are learned from and which are held out, fold by fold; the two never share a gap or a group."""

    learn: tuple[Rows, ...]
    hold: tuple[Rows, ...]

    @property
    def of_row(self) -> NDArray[np.int64]:
        """The fold that holds out each row, -1 for none."""
        found = np.full(len(self.hold[0]), -1)
        for k, rows in enumerate(self.hold):
            found[rows] = k
        return found


def time_folds(ts: Floats, count: int, gap_s: float) -> Folds:
    """Blocks of time with equal numbers of moments; what is nearer than the gap to a block does not teach about it."""
    edges = np.quantile(ts, np.linspace(0, 1, count + 1)[1:-1])
    block = np.searchsorted(edges, ts, side="right")
    hold = tuple(block == k for k in range(count))
    learn = tuple(
        (ts < ts[rows].min() - gap_s) | (ts > ts[rows].max() + gap_s) if rows.any() else ~rows
        for rows in hold
    )
    return Folds(learn, hold)


def group_folds(groups: NDArray[np.int64], count: int, seed: int) -> Folds:
    """Whole groups (services, units) held out together."""
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    of_group = dict(zip(names[order].tolist(), (np.arange(len(names)) % count).tolist(), strict=True))
    fold = np.array([of_group[group] for group in groups.tolist()])
    hold = tuple(fold == k for k in range(count))
    return Folds(tuple(~rows for rows in hold), hold)


@dataclass(frozen=True)
class FittedHorizon:
    """Classifiers of "fails within the horizon", and what they said of rows that they had not seen.

    Attributes:
        boosters: their mean margin is the answer.
        held_out: calibrated probabilities of held-out rows, by calibrators that had not seen them either; NaN
            where nothing could be said.
        held_out_margins: the margins behind them.
    """

    boosters: tuple[xgb.Booster, ...]
    calibrator: Calibrator
    held_out: Floats
    held_out_margins: Floats


@dataclass(frozen=True)
class Member:
    """One of the classifiers whose mean margin counts.

    Attributes:
        outcomes: what it learns, such as failing within a somewhat shorter or longer time.
        columns: which features it sees; all where null.
    """

    outcomes: Floats
    columns: Rows | None = None


def fit_horizon(
    x: NDArray[np.float32],
    y: Floats,
    folds: Folds,
    *,
    seed: int,
    workers: int,
    params: Params = CLASSIFIER,
    balance: Balancer | None = None,
    members: Sequence[Member] = (),
) -> FittedHorizon:
    """Learn on all rows whose outcome is known (`y` not NaN), and calibrate on held-out ones.

    Args:
        members: who learns; one that learns `y` from all features where there is none. The mean over neighbouring
            horizons knows that a failure just beyond the horizon is more like one within it than like none, and
            its errors are smaller than those of each member. The first must learn `y`.
        balance: makes the rows to learn from of those of a training fold; held-out rows stay as they are.
    """
    known = ~np.isnan(y)
    # A fold without failures to learn from cannot say anything of its rows.
    able = [k for k, rows in enumerate(folds.learn) if 0 < y[rows & known].sum() < (rows & known).sum()]
    parts = [folds.learn[k] for k in able] + [np.ones(len(y), dtype=bool)]

    members = members or (Member(y),)

    def job(rows: Rows, number: int) -> Callable[[], xgb.Booster]:
        member = members[number]

        def run() -> xgb.Booster:
            learn, outcome, weight = (
                (x[rows], member.outcomes[rows], None)
                if balance is None
                else balance(x[rows], member.outcomes[rows])
            )
            if member.columns is not None:
                # What is missing everywhere is never split on, and the columns keep their places.
                learn = np.where(member.columns, learn, np.float32(np.nan))
            return train(learn, outcome, params, seed=seed + number, weight=weight)

        return run

    jobs, of_part = [], []
    for index, part in enumerate(parts):
        for number, member in enumerate(members):
            rows = part & ~np.isnan(member.outcomes)
            # The horizon itself can be learned in every part; a nearby one that cannot does without.
            if number == 0 or 0 < member.outcomes[rows].sum() < rows.sum():
                jobs.append(job(rows, number))
                of_part.append(index)
    trained = in_parallel(jobs, workers)
    *parts_fitted, boosters = [
        tuple(one for one, part in zip(trained, of_part, strict=True) if part == index)
        for index in range(len(parts))
    ]
    margins = np.full(len(y), np.nan)
    for k, fitted in zip(able, parts_fitted, strict=True):
        rows = folds.hold[k] & known
        if rows.any():
            margins[rows] = margin(fitted, x[rows])
    said = np.full(len(y), np.nan)
    seen = ~np.isnan(margins)
    for k in able:
        inside, outside = seen & folds.hold[k], seen & ~folds.hold[k]
        if inside.any() and outside.any():
            said[inside] = fit_calibrator(margins[outside], y[outside])(margins[inside])
    return FittedHorizon(boosters, fit_calibrator(margins[seen], y[seen]), said, margins)
