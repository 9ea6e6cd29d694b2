"""Cuts features into bins once for boosters of many outcomes, because cutting takes as long as training."""

from collections.abc import Callable, Mapping

import numpy as np
import xgboost as xgb

from core.arrays import BoolArray, Float32Array, FloatArray

Params = Mapping[str, float | int | str]
#: Features and outcomes of training rows -> further rows that count as failures, and the weight of each given row
#: (null = all the same).
Balancer = Callable[[Float32Array, FloatArray], tuple[Float32Array, FloatArray | None]]


class Binned:
    """Training rows for boosters of several outcomes, one after the other. Not safe to use from several threads.

    The bins depend on the rows and not on their weights, so that they fit every outcome.
    """

    def __init__(self, x: Float32Array, *, max_bin: int, columns: BoolArray | None = None) -> None:
        """Cut the rows into bins.

        Args:
            x: (rows, features), NaN = missing.
            max_bin: number of bins.
            columns: features that the boosters may use; null = all.
        """
        self._x = x
        self._max_bin = max_bin
        self._columns = columns
        # A feature that is missing everywhere is never split on, and the columns keep their places.
        seen = x if columns is None else np.where(columns, x, np.float32(np.nan))
        self._data = xgb.QuantileDMatrix(seen, max_bin=max_bin, nthread=1)

    def learn(
        self, y: FloatArray, params: Params, *, seed: int, balance: Balancer | None = None
    ) -> xgb.Booster:
        """Train a classifier; rows whose outcome is NaN (not known) have no influence.

        Args:
            y: outcome of each row: 1, 0 or NaN.
            params: of XGBoost, and `rounds`.
            seed: of sampling.
            balance: balances the rows whose outcome is known; null = not at all.
        """
        known = ~np.isnan(y)
        weight = known.astype(np.float64)
        if balance is not None:
            made, balanced = balance(self._x[known], y[known])
            if len(made):
                more = Binned(np.vstack([self._x[known], made]), max_bin=self._max_bin, columns=self._columns)
                return more.learn(np.concatenate([y[known], np.ones(len(made))]), params, seed=seed)
            if balanced is not None:
                weight[known] = balanced
        return self.train(np.where(known, y, 0.0), params, seed=seed, weight=weight)

    def train(
        self, y: FloatArray, params: Params, *, seed: int, weight: FloatArray | None = None
    ) -> xgb.Booster:
        """Train one booster with any objective.

        Each booster uses one thread, and `learning.in_parallel` trains several at once. The threads of OpenMP wait for
        each other by spinning, which is many times slower as soon as another process needs a core. And sums would
        depend on the number of threads.
        """
        chosen = {name: value for name, value in params.items() if name != "rounds"}
        self._data.set_info(label=y, weight=np.ones(len(y)) if weight is None else weight)
        return xgb.train({**chosen, "seed": seed, "nthread": 1}, self._data, int(params["rounds"]))
