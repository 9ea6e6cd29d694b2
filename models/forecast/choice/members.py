"""What each model says that has a say in a series' forecast: the pool and, beside it, the common trees."""

from collections.abc import Collection

from core.arrays import FloatArray
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import paths
from models.forecast.prepared import make_ready
from models.forecast.protocols import History


def member_forecasts(
    history: History, names: Collection[str], horizon_steps: int, trees: GlobalTrees | None = None
) -> dict[str, FloatArray]:
    """Model -> its forecast, of those among `names` that are of the pool or the common trees.

    Raises:
        InsufficientDataError: the history is too short for one of them.
    """
    ready = make_ready(history)
    if trees is None or trees.name not in names:
        return paths(ready, horizon_steps, tuple(name for name in POOL if name in names))
    told = paths(ready, horizon_steps)
    return {**told, trees.name: trees.fit(history).path(told)}
