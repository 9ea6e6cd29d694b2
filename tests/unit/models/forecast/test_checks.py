"""Every forecaster goes through every check, and each check has a broken dummy that it must fail."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast import checks
from models.forecast.catalog import forecasters
from models.forecast.checks import CHECKS
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.pool.seasonal_naive import seasonal_naive
from models.forecast.protocols import Forecaster, History

#: Those of the catalog, and the pool as one forecaster.
CATALOG: dict[str, Forecaster] = {**forecasters(), "pool": PoolForecaster()}
#: Seconds of search a fit; its adapter is the same as that of the others.
SLOW = {"auto_arima"}
#: Members of the pool that know no season, or that need the others to bridge what they do not know.
FLAT = {"level", "recent_median"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(set(CATALOG) - SLOW))
def test_holds_for(name: str, check: Callable[[Forecaster], None]) -> None:
    if name in FLAT and check is checks.check_follows_a_season:
        pytest.skip("a model of the level alone, on purpose")
    check(CATALOG[name])


@dataclass
class Dummy:
    """The seasonal naive, with one thing broken."""

    broken: str
    name: str = "dummy"
    calls: int = 0

    def fit(self, history: History) -> "FittedDummy":
        known = history.values[np.isfinite(history.values)]
        if len(known) < 2 and self.broken != "accepts":
            raise InsufficientDataError("too little")
        self.calls += 1
        if self.broken == "mutates":
            history.values[0] = 0.0
        values = np.where(np.isfinite(history.values), history.values, known[-1])
        if self.broken == "gaps":
            values = np.where(np.isfinite(history.values), history.values, -500.0)
        return FittedDummy(values, history, self.broken, self.calls)


@dataclass
class FittedDummy:
    values: FloatArray
    history: History
    broken: str
    calls: int

    def predict(self, horizon_steps: int) -> FloatArray:
        yhat = seasonal_naive(self.values, self.history.usable_seasons, horizon_steps).copy()
        match self.broken:
            case "shape":
                return yhat[:-1]
            case "random":
                return yhat + self.calls
            case "peeks":
                base = self.history.values.base
                return yhat + (0.0 if base is None else float(np.nanmax(base)))
            case "flat":
                return np.full(horizon_steps, float(np.mean(self.values)))
            case "bounds":
                return yhat + 0.5
            case "constant":
                return yhat + (3.0 if np.ptp(self.values) == 0 else 0.0)
            case "short":
                return yhat * (1e3 if len(self.values) < 24 else 1.0)
            case "unit":
                return yhat + 5.0
            case "gaps":
                return np.full(horizon_steps, float(self.values.min()))
        return yhat


BREAKS = {
    "check_shape": "shape",
    "check_input_is_left_alone": "mutates",
    "check_same_twice": "random",
    "check_no_look_ahead": "peeks",
    "check_follows_a_season": "flat",
    "check_bounds": "bounds",
    "check_constant": "constant",
    "check_gaps": "gaps",
    "check_short_history": "short",
    "check_too_little_is_refused": "accepts",
    "check_scale": "unit",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_broken_forecaster_fails_its_check(check: Callable[[Forecaster], None]) -> None:
    with pytest.raises(AssertionError):
        check(Dummy(BREAKS[check.__name__]))


def test_the_sound_dummy_passes_all_checks() -> None:
    for check in CHECKS:
        check(Dummy("none"))
