"""The pool as one forecaster: the weighted median of its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.arrays import FloatArray
from models.forecast.combination import combine
from models.forecast.pool.pool import POOL
from models.forecast.prepared import Prepared, make_ready
from models.forecast.protocols import History


def paths(ready: Prepared, horizon_steps: int, names: Sequence[str] = tuple(POOL)) -> dict[str, FloatArray]:
    """Member of the pool -> its forecast on the grid of the history."""
    return {name: ready.path(POOL[name], horizon_steps) for name in names}


@dataclass(frozen=True, slots=True)
class FittedPool:
    """The pool with the prepared values of one history."""

    ready: Prepared
    weights: Mapping[str, float]

    def predict(self, horizon_steps: int) -> FloatArray:
        return combine(paths(self.ready, horizon_steps, tuple(self.weights)), self.weights)


@dataclass(frozen=True, slots=True)
class PoolForecaster:
    """A weighted median of members of the pool.

    Attributes:
        weights: member -> weight; equal by default.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(POOL, 1.0 / len(POOL)))
    name: str = "pool"

    def fit(self, history: History) -> FittedPool:
        return FittedPool(make_ready(history), self.weights)
