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
    # Several members share a scale, and to change it takes as long as most of them.
    scaled = {scale: scale(ready.coarse) for scale in {POOL[name].scale for name in names}}
    found: dict[str, FloatArray] = {}
    for name in names:
        member = POOL[name]
        path = member.on(scaled[member.scale], ready.seasons, ready.coarse_steps(horizon_steps))
        found[name] = ready.on_grid(path, horizon_steps)
    return found


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
