"""Moments cut into bins once, from which boosters of many outcomes learn: cutting takes as long as learning."""

from collections.abc import Callable, Mapping

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Params = Mapping[str, float | int | str]
#: Of features and outcomes to learn from: further rows to learn as failures, and a weight of each row that was given
#: (null = they count alike).
Balancer = Callable[[NDArray[np.float32], Floats], tuple[NDArray[np.float32], Floats | None]]


class Binned:
    """Rows that boosters learn from, one outcome after the other; not from several threads at once.

    The bins are those of the rows themselves, whatever they weigh, so that they serve every outcome.
    """

    def __init__(self, x: NDArray[np.float32], *, max_bin: int, columns: Rows | None = None) -> None:
        """`columns`: which features are seen; all where null."""
        self._x = x
        self._max_bin = max_bin
        self._columns = columns
        # What is missing everywhere is never split on, and the columns keep their places.
        seen = x if columns is None else np.where(columns, x, np.float32(np.nan))
        self._data = xgb.QuantileDMatrix(seen, max_bin=max_bin, nthread=1)

    def learn(self, y: Floats, params: Params, *, seed: int, balance: Balancer | None = None) -> xgb.Booster:
        """A classifier of `y`; rows whose outcome is not known (NaN) teach nothing."""
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

    def train(self, y: Floats, params: Params, *, seed: int, weight: Floats | None = None) -> xgb.Booster:
        """One booster, of any objective.

        One thread each, and threads of our own around them (`learning.in_parallel`): OpenMP's threads wait for each
        other by spinning, many times slower as soon as another process wants a core, and sums would depend on their
        number.
        """
        chosen = {name: value for name, value in params.items() if name != "rounds"}
        self._data.set_info(label=y, weight=np.ones(len(y)) if weight is None else weight)
        return xgb.train({**chosen, "seed": seed, "nthread": 1}, self._data, int(params["rounds"]))
