"""Rolling-origin backtests: forecasts from past moments, compared with the values that followed."""

from dataclasses import dataclass

from core.arrays import FloatArray
from models.forecast.protocols import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Forecasts from several past moments, and the values that followed.

    Attributes:
        origins: number of known values at each origin, ascending; length k.
        actual: the values that followed, (k, horizon); NaN = missing.
        yhat: member -> its forecasts, (k, horizon).
    """

    origins: tuple[int, ...]
    actual: FloatArray
    yhat: dict[str, FloatArray]

    def errors(self, name: str) -> FloatArray:
        """actual - yhat, (k, horizon); NaN where `actual` is missing."""
        return self.actual - self.yhat[name]


def choose_origins(history: History, horizon_steps: int, count: int) -> tuple[int, ...]:
    """Choose up to `count` moments, evenly spaced over the newer part of the history, each with a past and a future.

    Before the first moment lie two of the longest season for which origins remain, or half of the history.

    Returns:
        Number of known values at each moment, ascending; empty if the history is too short.
    """
    n = len(history)
    last = n - horizon_steps
    seasons = [season for season in history.seasons if 2 * season <= last - horizon_steps]
    first = max(2 * seasons[-1] if seasons else 0, n // 2, 8)
    if last < first:
        first = max(8, last)
    if last < first:
        return ()
    # With an odd stride the origins are spread over the hours of the day.
    stride = max(1, (last - first) // max(1, count - 1))
    if history.seasons and stride > 2 and stride % 2 == 0:
        stride -= 1
    return tuple(sorted(last - stride * k for k in range(count) if last - stride * k >= first))
