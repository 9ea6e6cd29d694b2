"""Trains gradient-boosted trees, with predictions for held-out rows to calibrate them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import xgboost as xgb

from core.arrays import BoolArray, Float32Array, FloatArray, IntArray
from models.failure.binned import Balancer, Binned, Params
from models.failure.calibration import Calibrator, fit_calibrator

Result = TypeVar("Result")

#: Shallow trees, a low learning rate and a quarter of the features per tree suit a hundred failures among thousands of
#: moments.
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
#: For times. Many rows of a run are nearly equal, so leaves must be large.
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
    x: Float32Array, y: FloatArray, params: Params, *, seed: int, weight: FloatArray | None = None
) -> xgb.Booster:
    """Train one booster on rows that are used only once."""
    return Binned(x, max_bin=int(params["max_bin"])).train(y, params, seed=seed, weight=weight)


def margin(boosters: Sequence[xgb.Booster], x: Float32Array) -> FloatArray:
    """The margin of each row, mean over the boosters: log-odds, or the value itself for a regressor."""
    margins = [
        np.asarray(one.inplace_predict(x, predict_type="margin"), dtype=np.float64) for one in boosters
    ]
    return np.asarray(np.mean(margins, axis=0))


def in_parallel(jobs: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """The results of the jobs, in their order. XGBoost releases the GIL while it trains."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


@dataclass(frozen=True)
class Folds:
    """Training rows and held-out rows of each fold, separated by a gap or by groups."""

    learn: tuple[BoolArray, ...]
    hold: tuple[BoolArray, ...]

    @property
    def of_row(self) -> IntArray:
        """The fold that holds out each row, -1 for none."""
        found = np.full(len(self.hold[0]), -1)
        for k, rows in enumerate(self.hold):
            found[rows] = k
        return found


def time_folds(ts: FloatArray, count: int, gap_s: float) -> Folds:
    """Split the time into `count` blocks with equal numbers of moments.

    Rows within `gap_s` of a held-out block are not used to train its fold.
    """
    edges = np.quantile(ts, np.linspace(0, 1, count + 1)[1:-1])
    block = np.searchsorted(edges, ts, side="right")
    hold = tuple(block == k for k in range(count))
    learn = tuple(
        (ts < ts[rows].min() - gap_s) | (ts > ts[rows].max() + gap_s) if rows.any() else ~rows
        for rows in hold
    )
    return Folds(learn, hold)


def group_folds(groups: IntArray, count: int, seed: int) -> Folds:
    """Split whole groups (services, units) into `count` folds."""
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    of_group = dict(zip(names[order].tolist(), (np.arange(len(names)) % count).tolist(), strict=True))
    fold = np.array([of_group[group] for group in groups.tolist()])
    hold = tuple(fold == k for k in range(count))
    return Folds(tuple(~rows for rows in hold), hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How boosters are trained on the same rows.

    Attributes:
        folds: of the rows; held-out predictions come from them.
        seed: of sampling.
        workers: threads.
        params: of XGBoost, and `rounds`.
    """

    folds: Folds
    seed: int
    workers: int
    params: Params = field(default_factory=lambda: CLASSIFIER)


@dataclass(frozen=True)
class FittedHorizon:
    """Classifiers of "fails within the horizon", and their predictions for held-out rows.

    Attributes:
        boosters: their mean margin is the prediction.
        calibrator: from mean margin to probability.
        held_out: calibrated probabilities of held-out rows, from calibrators that were fitted on other rows; NaN
            where there is none.
        held_out_margins: the margins of these probabilities.
    """

    boosters: tuple[xgb.Booster, ...]
    calibrator: Calibrator
    held_out: FloatArray
    held_out_margins: FloatArray


@dataclass(frozen=True)
class Member:
    """One of the classifiers whose mean margin counts.

    Attributes:
        outcomes: outcome of each row that it learns, such as failing within a somewhat shorter or longer time.
        columns: features that it uses; null = all.
    """

    outcomes: FloatArray
    columns: BoolArray | None = None


def fit_horizons(
    x: Float32Array,
    horizons: Sequence[Sequence[Member]],
    training: Training,
    balance: Balancer | None = None,
) -> list[FittedHorizon]:
    """Train each horizon on all rows whose outcome is known (not NaN), and calibrate it on held-out rows.

    Args:
        x: (rows, features), NaN = missing.
        horizons: the members of each horizon; the first member learns the horizon itself, the others may learn
            neighbouring horizons. A failure just beyond the horizon is more like one within it than like none, and the
            error of the mean is smaller than that of each member.
        training: folds of the rows, seed, threads and parameters.
        balance: balances the training rows of a fold; held-out rows stay as they are.
    Returns:
        One per horizon, in the same order.
    """
    boosters = _trained(x, horizons, training, balance)
    parts = len(training.folds.learn) + 1
    return [
        _calibrated(
            x,
            members[0].outcomes,
            training.folds,
            [_in_order(boosters.get((horizon, part), {})) for part in range(parts)],
        )
        for horizon, members in enumerate(horizons)
    ]


def _trained(
    x: Float32Array, horizons: Sequence[Sequence[Member]], training: Training, balance: Balancer | None
) -> dict[tuple[int, int], dict[int, xgb.Booster]]:
    """(horizon, part) -> member -> booster. Parts are the folds, and last all rows."""
    parts = [*training.folds.learn, np.ones(len(x), dtype=bool)]
    # Members with the same rows and columns share their bins.
    tasks: dict[tuple[int, bytes | None], list[tuple[int, int]]] = {}
    for horizon, members in enumerate(horizons):
        learnable = [*_learnable(members[0].outcomes, training.folds), len(parts) - 1]
        for part in learnable:
            for number, member in enumerate(members):
                # The horizon itself can be learned in each of these parts. Neighbours that cannot are left out.
                if number == 0 or has_both(member.outcomes[parts[part]]):
                    columns = None if member.columns is None else member.columns.tobytes()
                    tasks.setdefault((part, columns), []).append((horizon, number))

    def job(part: int, found: Sequence[tuple[int, int]]) -> Callable[[], list[xgb.Booster]]:
        def run() -> list[xgb.Booster]:
            rows, members = parts[part], [horizons[horizon][number] for horizon, number in found]
            bins = Binned(x[rows], max_bin=int(training.params["max_bin"]), columns=members[0].columns)
            return [
                bins.learn(
                    member.outcomes[rows], training.params, seed=training.seed + number, balance=balance
                )
                for member, (_, number) in zip(members, found, strict=True)
            ]

        return run

    trained = in_parallel([job(part, found) for (part, _), found in tasks.items()], training.workers)
    boosters: dict[tuple[int, int], dict[int, xgb.Booster]] = {}
    for ((part, _), found), fitted in zip(tasks.items(), trained, strict=True):
        for (horizon, number), booster in zip(found, fitted, strict=True):
            boosters.setdefault((horizon, part), {})[number] = booster
    return boosters


def _learnable(y: FloatArray, folds: Folds) -> list[int]:
    """The folds whose training rows have failures. The rows that other folds hold out get no prediction."""
    return [k for k, rows in enumerate(folds.learn) if has_both(y[rows])]


def has_both(y: FloatArray) -> bool:
    """Whether there are failures and others among the known outcomes."""
    known = y[~np.isnan(y)]
    return bool(0 < known.sum() < len(known))


def _in_order(members: dict[int, xgb.Booster]) -> tuple[xgb.Booster, ...]:
    return tuple(members[number] for number in sorted(members))


def _calibrated(
    x: Float32Array, y: FloatArray, folds: Folds, fitted: Sequence[tuple[xgb.Booster, ...]]
) -> FittedHorizon:
    """Calibrate the boosters of a horizon; `fitted` has those of the folds first and those of all rows last."""
    *of_folds, boosters = fitted
    margins = np.full(len(y), np.nan)
    for members, hold in zip(of_folds, folds.hold, strict=True):
        rows = hold & ~np.isnan(y)
        if members and rows.any():
            margins[rows] = margin(members, x[rows])
    held_out = np.full(len(y), np.nan)
    seen = ~np.isnan(margins)
    for hold in folds.hold:
        inside, outside = seen & hold, seen & ~hold
        if inside.any() and outside.any():
            held_out[inside] = fit_calibrator(margins[outside], y[outside])(margins[inside])
    return FittedHorizon(boosters, fit_calibrator(margins[seen], y[seen]), held_out, margins)
