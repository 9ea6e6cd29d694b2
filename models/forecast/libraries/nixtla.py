"""StatsForecast's models as forecasters: Theta, ETS, ARIMA, MFLES and MSTL.

The import of the library takes seconds, so it happens when a model is first fitted or loaded.
"""

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.history import prepare
from models.forecast.protocols import Bounds, History
from models.forecast.states import Arrays, state_tree, tree_state

#: No seasonal state is fitted for longer seasons than this; Hyndman's ets() has the same limit. MSTL removes longer
#: seasons first.
MAX_STATE_SEASON = 24


@dataclass(frozen=True, slots=True)
class FittedNixtla:
    """A fitted StatsForecast model.

    Attributes:
        model: of the library; null for a constant, which has no likelihood.
        seasons: the usable seasons that the model was built with.
        level: the last value.
    """

    model: Any
    seasons: tuple[int, ...]
    level: float
    bounds: Bounds

    def predict(self, horizon_steps: int) -> FloatArray:
        if self.model is None:
            return self.bounds.clip(np.full(horizon_steps, self.level))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # ARIMA with a drift renames its coefficients while it predicts, so threads must not share a model.
            mean = deepcopy(self.model).predict(h=horizon_steps)["mean"]
        return self.bounds.clip(np.asarray(mean, dtype=np.float64))

    def to_arrays(self) -> Arrays:
        """What the library fitted; its settings are those of the forecaster."""
        return tree_state(
            {
                "seasons": self.seasons,
                "level": self.level,
                "bounds": (self.bounds.lower, self.bounds.upper),
                "fitted": None if self.model is None else _plain(self.model),
            }
        )


@dataclass(frozen=True, slots=True)
class NixtlaForecaster:
    """One StatsForecast model; `build` gets the module of the library and the usable seasons."""

    name: str
    build: Callable[[ModuleType, tuple[int, ...]], Any]

    def fit(self, history: History) -> FittedNixtla:
        values = prepare(history)
        seasons, level = history.usable_seasons, float(values[-1])
        # A constant has no likelihood: the optimiser of every model would divide by zero.
        if float(np.ptp(values)) == 0.0:
            return FittedNixtla(None, seasons, level, history.bounds)
        with warnings.catch_warnings():
            # Optimisers warn about steps that they undo themselves.
            warnings.simplefilter("ignore")
            try:
                model = self.build(_library(), seasons).fit(values)
            except NotImplementedError as error:
                # How ETS, and what is built on it, refuse a history of a few values.
                raise InsufficientDataError(
                    f"{self.name} needs more than {len(values)} values: {error}"
                ) from error
        return FittedNixtla(model, seasons, level, history.bounds)

    def from_arrays(self, arrays: Arrays) -> FittedNixtla:
        """The inverse of `FittedNixtla.to_arrays`."""
        state = state_tree(arrays)
        model = None
        if state["fitted"] is not None:
            model = self.build(_library(), state["seasons"])
            _restore(model, state["fitted"])
        lower, upper = state["bounds"]
        return FittedNixtla(model, state["seasons"], state["level"], Bounds(lower=lower, upper=upper))


def _library() -> ModuleType:
    import statsforecast.models

    return statsforecast.models


def _plain(model: Any) -> dict[str, Any]:
    """What `fit` added to a model, as plain data; MSTL has a frame, and a fitted model of its remainder."""
    fitted = model.model_
    if isinstance(fitted, pd.DataFrame):
        columns = {str(name): fitted[name].to_numpy() for name in fitted}
        return {"columns": columns, "trend": _plain(model.trend_forecaster)}
    # MFLES keeps an object of its own class.
    return {name: vars(one) if hasattr(one, "__dict__") else one for name, one in fitted.items()}


def _restore(model: Any, fitted: Mapping[str, Any]) -> None:
    """The inverse of `_plain`, on a model that was built in the same way."""
    if "columns" in fitted:
        model.model_ = pd.DataFrame(fitted["columns"])
        _restore(model.trend_forecaster, fitted["trend"])
        return
    model.model_ = dict(fitted)
    library = _library()
    if isinstance(model, library.MFLES):
        from statsforecast.mfles import MFLES

        make: Callable[[], Any] = MFLES
        inner = make()
        vars(inner).update(fitted["model"])
        model.model_["model"] = inner


def _seasonal(
    library: ModuleType, seasons: tuple[int, ...], direct: Callable[[int], Any], trend: Callable[[], Any]
) -> Any:
    """`direct` for one short season; else MSTL, with `trend` for the remainder."""
    if not seasons:
        return direct(1)
    if seasons == seasons[:1] and seasons[0] <= MAX_STATE_SEASON:
        return direct(seasons[0])
    return library.MSTL(season_length=list(seasons), trend_forecaster=trend())


def _ets(library: ModuleType, seasons: tuple[int, ...]) -> Any:
    return _seasonal(
        library,
        seasons[:1],
        lambda season: library.AutoETS(season_length=season),
        lambda: library.AutoETS(model="ZZN"),
    )


def _arima(library: ModuleType, seasons: tuple[int, ...]) -> Any:
    return _seasonal(
        library,
        seasons[:1],
        lambda season: library.AutoARIMA(season_length=season, approximation=True),
        # Hyndman's auto.arima does the same for more than 150 values: the exact likelihood of thousands of 5-minute
        # values takes minutes for each model.
        lambda: library.AutoARIMA(season_length=1, approximation=True),
    )


def _mstl(library: ModuleType, seasons: tuple[int, ...]) -> Any:
    return _seasonal(
        library,
        seasons,
        lambda season: (
            library.MSTL(season_length=season, trend_forecaster=library.AutoETS(model="ZZN"))
            if season > 1
            else library.AutoETS(model="ZZN")
        ),
        lambda: library.AutoETS(model="ZZN"),
    )


def _theta(library: ModuleType, seasons: tuple[int, ...]) -> Any:
    return library.DynamicTheta(season_length=seasons[0] if seasons else 1)


def _mfles(library: ModuleType, seasons: tuple[int, ...]) -> Any:
    return library.MFLES(season_length=list(seasons) or 1)


#: Hyndman et al. (2002), state space ETS; MSTL removes a season that is longer than a day of hours.
AUTO_ETS = NixtlaForecaster("auto_ets", _ets)
#: Hyndman and Khandakar (2008), stepwise search. A seasonal ARIMA at lag 288 cannot be fitted, so MSTL removes that
#: season and an ARIMA without a season forecasts the remainder, as StatsForecast's own guide advises.
AUTO_ARIMA = NixtlaForecaster("auto_arima", _arima)
#: Fiorucci et al. (2016), the dynamic standard Theta model.
THETA = NixtlaForecaster("theta", _theta)
#: Blume (2024): median, Fourier terms, linear trend and exponential smoothing, boosted one after the other.
MFLES = NixtlaForecaster("mfles", _mfles)
#: Bandara, Hyndman and Bergmeir (2021), seasonal-trend decomposition for several seasons.
MSTL = NixtlaForecaster("mstl", _mstl)
