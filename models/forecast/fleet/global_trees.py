"""One model for all series: gradient-boosted trees that learn, over a whole fleet, where the pool is wrong.

The light-weight answer to DeepAR. Each row is one step ahead of one origin of one series, without a unit, so that
bytes and ratios teach each other (`global_rows`). What is learned is how far the truth lies from the median of the
pool, which is the right answer where nothing was learned.

References:
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2022). M5 accuracy competition. IJF 38(4).
    Salinas, D. et al. (2020). DeepAR. IJF 36(3).
    Chen, T. and Guestrin, C. (2016). XGBoost. KDD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.backtest import choose_origins
from models.forecast.fleet.global_rows import by_coarse, require_two_seasons, rows_of
from models.forecast.pool.pool_forecaster import paths
from models.forecast.prepared import Prepared, make_ready
from models.forecast.protocols import History

#: Origins a series; more teach little, for neighbouring ones hold the same values.
ORIGINS = 24
#: Rows that are learned from at most, spread over all series: more cost minutes and teach little.
MOST_ROWS = 300_000
#: Few and large leaves: neighbouring steps of one origin are nearly one example. Measured on six sets of hourly
#: series; slower learning takes a little more off the error, and all values near these are within half a percent.
PARAMS: Mapping[str, Any] = {
    "objective": "reg:absoluteerror",
    "tree_method": "hist",
    "max_depth": 6,
    "learning_rate": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.6,
    "min_child_weight": 100,
    "nthread": 1,
    "verbosity": 0,
}
ROUNDS = 150
#: How many units a single miss may teach.
REACH = 10.0


@dataclass(frozen=True, slots=True)
class FittedGlobalTrees:
    """The common trees and one history."""

    booster: Any
    history: History
    ready: Prepared

    def predict(self, horizon_steps: int) -> FloatArray:
        return self.path(paths(self.ready, horizon_steps))

    def path(self, told: Mapping[str, FloatArray]) -> FloatArray:
        """The same where the forecasts of the whole pool are known already.

        Args:
            told: model of the pool -> its forecast on the history's own grid.
        """
        import xgboost

        ready = self.ready
        middle = np.median(np.stack(list(told.values())), axis=0)
        if float(np.ptp(ready.coarse)) == 0.0:
            # What never moved has no unit to count in, and the pool is right.
            return ready.bounds.clip(middle)
        rows = rows_of(ready, told, self.history.end.timestamp(), self.history.step_s)
        moved = rows.unit * self.booster.predict(xgboost.DMatrix(rows.table, nthread=1)).astype(np.float64)
        if ready.bounds.lower == 0:
            # Nothing is halved to less than nothing or more than doubled; where the pool says none, it stays none.
            moved = np.clip(moved, -rows.middle, rows.middle)
        centres = np.arange(len(moved)) * ready.factor + (ready.factor - 1) / 2.0
        return ready.bounds.clip(middle + np.interp(np.arange(len(middle)), centres, moved))


@dataclass(frozen=True, slots=True)
class GlobalTrees:
    """A forecaster once `learn` has seen the fleet."""

    booster: Any
    name: str = "global_trees"

    def fit(self, history: History) -> FittedGlobalTrees:
        ready = make_ready(history)
        require_two_seasons(ready)
        return FittedGlobalTrees(self.booster, history, ready)

    def to_bytes(self) -> bytes:
        """XGBoost's own binary JSON."""
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "GlobalTrees":
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(raw))
        return cls(booster)


@dataclass(frozen=True, slots=True)
class Examples:
    """One series at its past moments.

    Attributes:
        tables: float32 (steps, features) each. targets: how far the truth lay from the middle of the pool, in units.
        ends: after how many values all of an example's truth was known.
    """

    tables: tuple[np.ndarray, ...]
    targets: tuple[FloatArray, ...]
    ends: tuple[int, ...]

    def until(self, steps: int) -> "Examples":
        """Those of which all was known after `steps` values."""
        kept = [row for row, end in enumerate(self.ends) if end <= steps]
        return Examples(
            tuple(self.tables[row] for row in kept),
            tuple(self.targets[row] for row in kept),
            tuple(self.ends[row] for row in kept),
        )


def examples(history: History, horizon_steps: int) -> Examples:
    """What the past of one series teaches; nothing where it is too short."""
    tables, targets, ends = [], [], []
    for at in choose_origins(history, horizon_steps, ORIGINS):
        then = history.until(at)
        ready = make_ready(then)
        try:
            rows = rows_of(ready, paths(ready, horizon_steps), then.end.timestamp(), then.step_s)
        except InsufficientDataError:
            continue
        came = by_coarse(history.values[at : at + horizon_steps], ready.factor)
        target = np.clip((came - rows.middle) / rows.unit, -REACH, REACH)
        known = np.isfinite(target)
        tables.append(rows.table[known])
        targets.append(target[known])
        ends.append(at + horizon_steps)
    return Examples(tuple(tables), tuple(targets), tuple(ends))


def learn(found: Sequence[Examples], *, seed: int) -> GlobalTrees:
    """Fit the common trees on the past moments of all series.

    Raises:
        InsufficientDataError: there is none.
    """
    import xgboost

    tables = [table for one in found for table in one.tables]
    targets = [target for one in found for target in one.targets]
    count = sum(len(target) for target in targets)
    if not count:
        raise InsufficientDataError("no series is long enough for the common trees")
    # Thinned before they are put together, so that memory holds the rows once.
    rng = np.random.default_rng(seed)
    kept = [rng.random(len(target)) < MOST_ROWS / count for target in targets]
    data = xgboost.DMatrix(
        np.concatenate([table[rows] for table, rows in zip(tables, kept, strict=True)]),
        label=np.concatenate([target[rows] for target, rows in zip(targets, kept, strict=True)]),
        nthread=1,
    )
    return GlobalTrees(xgboost.train({**PARAMS, "seed": seed}, data, num_boost_round=ROUNDS))
