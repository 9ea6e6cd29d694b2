"""The forecasts of the members of a series: the pool, the fleet model, and any other forecaster of the catalog."""

from collections.abc import Collection, Sequence

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.backtest import Backtest
from models.forecast.catalog import find_forecaster
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import paths
from models.forecast.prepared import make_ready
from models.forecast.protocols import History


def member_forecasts(
    history: History, names: Collection[str], horizon_steps: int, trees: GlobalTrees | None = None
) -> dict[str, FloatArray]:
    """Fit members on a history and forecast with them.

    Args:
        names: of the members; the fleet model among them needs `trees`.
        trees: the fleet model; it also needs the forecasts of the whole pool, which are then all in the result.
    Returns:
        Name -> float64, length `horizon_steps`.
    Raises:
        InsufficientDataError: the history is too short for one of them.
    """
    ready = make_ready(history)
    if trees is None or trees.name not in names:
        found = paths(ready, horizon_steps, tuple(name for name in POOL if name in names))
    else:
        found = paths(ready, horizon_steps)
        found = {**found, trees.name: trees.fit_ready(history, ready).path(found)}
    for name in names:
        if name not in found:
            found[name] = find_forecaster(name).fit(history).predict(horizon_steps)
    return found


def backtest_members(
    history: History, names: Collection[str], *, origins: Sequence[int], horizon_steps: int
) -> Backtest:
    """Forecast with each member from past moments.

    Returns:
        Without the members that one of the moments is too early for; `yhat` may be empty.
    """
    found: list[dict[str, FloatArray]] = []
    usable = list(names)
    for at in origins:
        then = history.until(at)
        found.append(paths(make_ready(then), horizon_steps, tuple(name for name in usable if name in POOL)))
        for name in [one for one in usable if one not in POOL]:
            try:
                found[-1][name] = find_forecaster(name).fit(then).predict(horizon_steps)
            except InsufficientDataError:
                usable.remove(name)
    return Backtest(
        origins=tuple(origins),
        actual=np.stack([history.values[at : at + horizon_steps] for at in origins]),
        yhat={name: np.stack([one[name] for one in found]) for name in usable},
    )
