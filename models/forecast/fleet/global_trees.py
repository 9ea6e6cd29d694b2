"""The fleet model: gradient-boosted trees that learn from all series of a fleet how to correct the pool.

It is a light-weight alternative to DeepAR. Each row is one step ahead of one origin of one series, in numbers without a
unit, so that series in bytes and series of ratios can be learned together (`global_rows`). The trees predict the
distance of the true value from the median of the pool; without evidence the distance is 0.

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
from models.series.robust import middle_of

#: Origins of each series. More teach little, because neighbouring origins share their values.
ORIGINS = 24
#: Largest number of rows to learn from, spread over all series. More cost minutes and teach little.
MAX_ROWS = 300_000
#: Few and large leaves, because neighbouring steps of one origin are nearly one example. Measured on six sets of hourly
#: series: slower learning reduces the error a little more, and all values near these are within half a percent.
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
#: A distance of more units counts as this many, so that single outliers teach little.
MAX_UNITS = 10.0


@dataclass(frozen=True, slots=True)
class FittedGlobalTrees:
    """The fleet model with the history of one series."""

    booster: Any
    history: History
    ready: Prepared

    def predict(self, horizon_steps: int) -> FloatArray:
        return self.path(paths(self.ready, horizon_steps))

    def path(self, pool_forecasts: Mapping[str, FloatArray]) -> FloatArray:
        """The forecast, if the forecasts of the whole pool are known already.

        Args:
            pool_forecasts: member of the pool -> its forecast on the grid of the history.
        """
        ready = self.ready
        middle = middle_of(np.stack(list(pool_forecasts.values())))
        if float(np.ptp(ready.coarse)) == 0.0:
            # A constant has no unit, and the pool is right.
            return ready.bounds.clip(middle)
        rows = rows_of(ready, pool_forecasts, self.history.end.timestamp(), self.history.step_s)
        # Without a DMatrix, which takes longer to make than so few rows to predict.
        moved = rows.unit * self.booster.inplace_predict(rows.table).astype(np.float64)
        if ready.bounds.lower == 0:
            # The forecast of the pool is at most doubled and never becomes negative; a forecast of 0 stays 0.
            moved = np.clip(moved, -rows.middle, rows.middle)
        centres = np.arange(len(moved)) * ready.factor + (ready.factor - 1) / 2.0
        return ready.bounds.clip(middle + np.interp(np.arange(len(middle)), centres, moved))


@dataclass(frozen=True, slots=True)
class GlobalTrees:
    """The fleet model as a forecaster; `learn` makes it."""

    booster: Any
    name: str = "global_trees"

    def fit(self, history: History) -> FittedGlobalTrees:
        return self.fit_ready(history, make_ready(history))

    def fit_ready(self, history: History, ready: Prepared) -> FittedGlobalTrees:
        """As `fit`, of a history that has been prepared already."""
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
    """The examples of one series, one for each of its past moments.

    Attributes:
        tables: float32 (steps, features) each.
        targets: distance of the true values from the median of the pool, in units.
        ends: number of values after which the targets of an example were known.
    """

    tables: tuple[np.ndarray, ...]
    targets: tuple[FloatArray, ...]
    ends: tuple[int, ...]

    def until(self, steps: int) -> "Examples":
        """The examples whose targets were known after `steps` values."""
        kept = [row for row, end in enumerate(self.ends) if end <= steps]
        return Examples(
            tuple(self.tables[row] for row in kept),
            tuple(self.targets[row] for row in kept),
            tuple(self.ends[row] for row in kept),
        )


def examples(history: History, horizon_steps: int) -> Examples:
    """Make the examples of one series; none for moments that are too early."""
    tables, targets, ends = [], [], []
    for at in choose_origins(history, horizon_steps, ORIGINS):
        then = history.until(at)
        ready = make_ready(then)
        try:
            rows = rows_of(ready, paths(ready, horizon_steps), then.end.timestamp(), then.step_s)
        except InsufficientDataError:
            continue
        actual = by_coarse(history.values[at : at + horizon_steps], ready.factor)
        target = np.clip((actual - rows.middle) / rows.unit, -MAX_UNITS, MAX_UNITS)
        known = np.isfinite(target)
        tables.append(rows.table[known])
        targets.append(target[known])
        ends.append(at + horizon_steps)
    return Examples(tuple(tables), tuple(targets), tuple(ends))


def learn(found: Sequence[Examples], *, seed: int) -> GlobalTrees:
    """Fit the trees on the examples of all series.

    Args:
        seed: of the sampling of rows and features.
    Raises:
        InsufficientDataError: there is no example.
    """
    import xgboost

    tables = [table for one in found for table in one.tables]
    targets = [target for one in found for target in one.targets]
    count = sum(len(target) for target in targets)
    if not count:
        raise InsufficientDataError("no series is long enough for the fleet model")
    # Rows are sampled before they are joined, so that memory holds them once.
    rng = np.random.default_rng(seed)
    kept = [rng.random(len(target)) < MAX_ROWS / count for target in targets]
    data = xgboost.DMatrix(
        np.concatenate([table[rows] for table, rows in zip(tables, kept, strict=True)]),
        label=np.concatenate([target[rows] for target, rows in zip(targets, kept, strict=True)]),
        nthread=1,
    )
    return GlobalTrees(xgboost.train({**PARAMS, "seed": seed}, data, num_boost_round=ROUNDS))
