"""Name -> forecaster: the pool and its members, Prophet, and what others would use."""

from collections.abc import Mapping

from models.forecast.libraries.nixtla import AUTO_ARIMA, AUTO_ETS, MFLES, MSTL, THETA
from models.forecast.libraries.prophet import ProphetForecaster
from models.forecast.pool.direct import DirectForecaster
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.protocols import Forecaster

_ALL: tuple[Forecaster, ...] = (
    PoolForecaster(),
    *(DirectForecaster(name, course) for name, course in POOL.items()),
    ProphetForecaster(),
    THETA,
    AUTO_ETS,
    AUTO_ARIMA,
    MFLES,
    MSTL,
)

CATALOG: Mapping[str, Forecaster] = {forecaster.name: forecaster for forecaster in _ALL}

#: What others would use, for comparison.
PEERS = ("seasonal_naive", "prophet", "auto_ets", "auto_arima")
