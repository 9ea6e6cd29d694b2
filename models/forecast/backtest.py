"""Rolling-origin backtests: what a model would have said in the past, and how wrong it would have been."""

from dataclasses import dataclass

from core.arrays import FloatArray
from models.forecast.protocols import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Forecasts from several past moments beside what came.

    Attributes:
        origins: how many values were known each time, ascending; length k.
        actual: (k, horizon); NaN = missing.
        yhat: model name -> (k, horizon).
    """

    origins: tuple[int, ...]
    actual: FloatArray
    yhat: dict[str, FloatArray]

    def errors(self, name: str) -> FloatArray:
        """actual - yhat, (k, horizon); NaN where the actual is missing."""
        return self.actual - self.yhat[name]


def choose_origins(history: History, horizon_steps: int, count: int) -> tuple[int, ...]:
    """Up to `count` moments, spread evenly over the newer part of the history, each with its past and future.

    The first keeps two of the longest season that still leaves most of the origins, or half of the history.
    """
    n = len(history)
    last = n - horizon_steps
    seasons = [season for season in history.seasons if 2 * season <= last - horizon_steps]
    first = max(2 * seasons[-1] if seasons else 0, n // 2, 8)
    if last < first:
        first = max(8, last)
    if last < first:
        return ()
    # An odd stride lets the origins fall on every hour of the day in turn.
    stride = max(1, (last - first) // max(1, count - 1))
    if history.seasons and stride > 2 and stride % 2 == 0:
        stride -= 1
    return tuple(sorted(last - stride * k for k in range(count) if last - stride * k >= first))
