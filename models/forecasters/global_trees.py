"""One model for all series: gradient-boosted trees on lags, calendar and what kind of series it is.

The light-weight answer to DeepAR. Each row is one step ahead of one origin of one series; values are
divided by the spread of their own series, so that bytes and ratios teach each other. What is learned is
how far the truth lies from the seasonal naive forecast, which is the right answer where nothing was learned.

References:
    Makridakis, S., Spiliotis, E. and Assimakopoulos, V. (2022). M5 accuracy competition. IJF 38(4).
    Salinas, D. et al. (2020). DeepAR. IJF 36(3).
    Chen, T. and Guestrin, C. (2016). XGBoost. KDD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InsufficientDataError
from models.forecasters.history import prepare
from models.forecasters.protocols import Bounds, FloatArray, History

LAGS = (1, 2, 3, 6, 12)
#: Origins a series; more teach little, for neighbouring ones hold the same values.
ORIGINS = 24
PARAMS: Mapping[str, Any] = {
    "objective": "reg:absoluteerror",
    "tree_method": "hist",
    "max_depth": 6,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "min_child_weight": 20,
    "nthread": 1,
    "verbosity": 0,
}
ROUNDS = 120


@dataclass(frozen=True, slots=True)
class FittedGlobalTrees:
    """The common trees and one history."""

    booster: Any
    history: History

    def predict(self, horizon_steps: int) -> FloatArray:
        import xgboost

        values = prepare(self.history)
        unit = _unit(values)
        rows, base = _rows(values, self.history, unit, len(values), horizon_steps)
        moved = self.booster.predict(xgboost.DMatrix(rows))
        return _bounds(self.history.bounds, values).clip(base + unit * moved.astype(np.float64))


@dataclass(frozen=True, slots=True)
class GlobalTrees:
    """A forecaster once `learn` has seen the fleet."""

    booster: Any
    name: str = "global_trees"

    def fit(self, history: History) -> FittedGlobalTrees:
        if len(history) < 2 * _season(history) + max(LAGS):
            raise InsufficientDataError("the common trees need two seasons of values")
        return FittedGlobalTrees(self.booster, history)

    def to_bytes(self) -> bytes:
        """XGBoost's own binary JSON."""
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "GlobalTrees":
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(raw))
        return cls(booster)


def learn(histories: Sequence[History], horizon_steps: int, *, seed: int) -> GlobalTrees:
    """Fit the common trees on past origins of all series.

    Raises:
        InsufficientDataError: no series is long enough.
    """
    import xgboost

    features, targets = [], []
    for history in histories:
        values = prepare(history)
        first = 2 * _season(history) + max(LAGS)
        unit = _unit(values)
        for at in np.unique(np.linspace(first, len(values) - horizon_steps, ORIGINS).astype(int)):
            if at < first or at + horizon_steps > len(values):
                continue
            rows, base = _rows(values, history, unit, int(at), horizon_steps)
            target = (history.values[at : at + horizon_steps] - base) / unit
            known = np.isfinite(target)
            features.append(rows[known])
            targets.append(np.clip(target[known], -10, 10))
    if not features:
        raise InsufficientDataError("no series is long enough for the common trees")
    data = xgboost.DMatrix(np.concatenate(features), label=np.concatenate(targets))
    return GlobalTrees(xgboost.train({**PARAMS, "seed": seed}, data, num_boost_round=ROUNDS))


def _season(history: History) -> int:
    return history.seasons[0] if history.seasons else 1


def _bounds(bounds: Bounds, values: FloatArray) -> Bounds:
    if bounds.lower is None and float(values.min()) >= 0:
        return Bounds(lower=0.0, upper=bounds.upper)
    return bounds


def _unit(values: FloatArray) -> float:
    return float(np.std(values)) or max(abs(float(values[-1])), 1.0)


def _rows(
    values: FloatArray, history: History, unit: float, at: int, horizon_steps: int
) -> tuple[FloatArray, FloatArray]:
    """Features of each step after the first `at` values, (horizon, features), and the seasonal naive."""
    past = values[:at]
    season = _season(history)
    long = history.seasons[-1] if history.seasons and at >= 2 * history.seasons[-1] else season
    ahead = np.arange(horizon_steps)
    base = np.resize(past[-season:], horizon_steps)
    before = np.resize(past[-2 * season : -season], horizon_steps)
    week = np.resize(past[-long:], horizon_steps)
    week_before = np.resize(past[-2 * long : -long], horizon_steps)
    day_mean = float(past[-season:].mean())
    now = past[-1] - base[-1] if horizon_steps >= season else past[-1] - past[-1 - season]
    common = [(past[-lag] - day_mean) / unit for lag in LAGS]
    common += [(past[-1 - lag] - past[-1 - lag - season]) / unit for lag in (0, 1, 2)]
    common += [
        (day_mean - float(past[-2 * season : -season].mean())) / unit,
        (day_mean - float(past.mean())) / unit,
        float(past[-season:].std()) / unit,
        float(np.mean(np.abs(past[season:] - past[:-season]))) / unit,
        now / unit,
    ]
    seconds = history.start.timestamp() + (at + ahead) * history.step_s
    hour = seconds % 86_400 / 3_600
    weekday = (seconds // 86_400 + 3) % 7
    columns = [
        (base - day_mean) / unit,
        (before - base) / unit,
        (week - base) / unit,
        (week_before - base) / unit,
        (ahead + 1) / season,
        hour,
        weekday,
    ]
    table = np.column_stack([*columns, *(np.full(horizon_steps, value) for value in common)])
    return np.asarray(table, dtype=np.float64), np.asarray(base, dtype=np.float64)
