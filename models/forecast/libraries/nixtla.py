"""StatsForecast behind the contract: Theta, ETS, ARIMA, MFLES and MSTL.

The library takes seconds to import, so that happens when a model is fitted and not before.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from core.arrays import FloatArray
from models.forecast.history import prepare
from models.forecast.protocols import Bounds, History

#: No seasonal state is fitted for longer seasons than this; Hyndman's ets() has the same limit. Longer
#: ones are taken out by MSTL first.
MAX_STATE_SEASON = 24


@dataclass(frozen=True, slots=True)
class FittedNixtla:
    model: Any
    bounds: Bounds

    def predict(self, horizon_steps: int) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean = np.asarray(self.model.predict(h=horizon_steps)["mean"], dtype=np.float64)
        return self.bounds.clip(mean)


@dataclass(frozen=True, slots=True)
class NixtlaForecaster:
    """One StatsForecast model; `build` gets the library's module and the usable seasons."""

    name: str
    build: Callable[[ModuleType, tuple[int, ...]], Any]

    def fit(self, history: History) -> FittedNixtla:
        values = prepare(history)
        # A constant has no likelihood: every model's optimiser would divide by zero.
        if float(np.ptp(values)) == 0.0:
            return FittedNixtla(_Constant(float(values[-1])), history.bounds)
        with warnings.catch_warnings():
            # Optimisers warn about steps that they take back themselves.
            warnings.simplefilter("ignore")
            import statsforecast.models as library

            model = self.build(library, history.usable_seasons).fit(values)
        return FittedNixtla(model, history.bounds)


@dataclass(frozen=True, slots=True)
class _Constant:
    level: float

    def predict(self, h: int) -> dict[str, FloatArray]:
        return {"mean": np.full(h, self.level)}


def _seasonal(
    library: ModuleType, seasons: tuple[int, ...], direct: Callable[[int], Any], trend: Callable[[], Any]
) -> Any:
    """`direct` on one short season; else MSTL, with `trend` on the remainder."""
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
        # As Hyndman's auto.arima does by itself on more than 150 values: the exact likelihood of thousands of
        # 5-minute values takes minutes a model.
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


#: Hyndman et al. (2002), state space ETS; the season by MSTL where it is longer than a day of hours.
AUTO_ETS = NixtlaForecaster("auto_ets", _ets)
#: Hyndman and Khandakar (2008), stepwise search. A seasonal ARIMA at lag 288 cannot be fitted, so there the day is
#: taken out by MSTL and what is left gets an ARIMA without a season, as StatsForecast's own guide advises.
AUTO_ARIMA = NixtlaForecaster("auto_arima", _arima)
#: Fiorucci et al. (2016), the dynamic standard Theta model.
THETA = NixtlaForecaster("theta", _theta)
#: Blume (2024), median, Fourier, linear and exponential smoothing, boosted in turn.
MFLES = NixtlaForecaster("mfles", _mfles)
#: Bandara, Hyndman and Bergmeir (2021), seasonal-trend decomposition for several seasons.
MSTL = NixtlaForecaster("mstl", _mstl)
