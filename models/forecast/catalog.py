"""All forecasters by name, and the set of them that forecasts a fleet by default.

Register a new forecaster with one line: in `FAST` if it is fitted in milliseconds, else in `EXPENSIVE`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ConfigurationError
from models.forecast.libraries.nixtla import AUTO_ARIMA, AUTO_ETS, MFLES, MSTL, THETA
from models.forecast.libraries.prophet import ProphetForecaster
from models.forecast.pool.direct import DirectForecaster
from models.forecast.pool.pool import POOL
from models.forecast.protocols import Forecaster

#: Each is tried at all origins of a backtest, and its weight follows from its errors.
FAST: tuple[Forecaster, ...] = (*(DirectForecaster(name, course) for name, course in POOL.items()),)
#: Each is tried on the newest days only, and has a weight where it reduces the error enough for its cost.
EXPENSIVE: tuple[Forecaster, ...] = (ProphetForecaster(), AUTO_ARIMA, AUTO_ETS, THETA, MFLES, MSTL)
#: Share of the series on which an expensive forecaster is tried, those with most error left; the others: on all.
#: Prophet is in the default set and costs a hundred times as much as the whole pool.
TRIED_ON = {"prophet": 0.03}
#: Stands for all members of the pool.
POOL_NAME = "pool"
#: The model that learns from all series of the fleet how to correct the pool.
FLEET_MODEL = "global_trees"

#: The forecasters that are trained for a fleet unless `FOREWARN_FORECASTERS` selects others.
DEFAULT_FORECASTERS = (POOL_NAME, "prophet", FLEET_MODEL)
#: Forecasters that other tools use, for comparison in benchmarks.
PEERS = ("seasonal_naive", "prophet", "auto_ets", "auto_arima")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedForecasters:
    """The forecasters that are trained for a fleet.

    Attributes:
        members: names of those that each series weighs by backtests, at least one.
        candidates: names of those that must earn their cost.
        fleet_model: whether the model that learns from all series is a candidate too.
    """

    members: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    fleet_model: bool = False


def forecasters() -> dict[str, Forecaster]:
    """Name -> forecaster, of all that are fitted on one series."""
    return {one.name: one for one in (*FAST, *EXPENSIVE)}


def find_forecaster(name: str) -> Forecaster:
    """The forecaster of that name.

    Raises:
        KeyError: the catalog has no such forecaster.
    """
    return forecasters()[name]


def is_known(name: str) -> bool:
    """Whether a bundle may give a weight to that name."""
    return name == FLEET_MODEL or name in forecasters()


def select_forecasters(names: Sequence[str]) -> SelectedForecasters:
    """The forecasters that a setting selects; the default set if it is empty.

    If only expensive forecasters are selected, each series weighs them by backtests like fast ones.

    Raises:
        ConfigurationError: a name is not in the catalog, or is there twice, or the fleet model stands alone.
    """
    selected = [
        one for name in names or DEFAULT_FORECASTERS for one in ((*POOL,) if name == POOL_NAME else (name,))
    ]
    known = [POOL_NAME, *forecasters(), FLEET_MODEL]
    unknown = [name for name in selected if name not in known]
    if unknown:
        raise ConfigurationError(
            f"there is no forecaster {', '.join(unknown)}; FOREWARN_FORECASTERS accepts {', '.join(known)}"
        )
    twice = sorted({name for name in selected if selected.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"FOREWARN_FORECASTERS has a name twice: {', '.join(twice)}; "
            f"{POOL_NAME!r} stands for {', '.join(POOL)}"
        )
    own = [name for name in selected if name != FLEET_MODEL]
    if not own:
        raise ConfigurationError(
            f"{FLEET_MODEL} corrects other forecasters; add one to FOREWARN_FORECASTERS, such as {POOL_NAME!r}"
        )
    expensive = {one.name for one in EXPENSIVE}
    fast = tuple(name for name in own if name not in expensive)
    return SelectedForecasters(
        members=fast or tuple(own),
        candidates=tuple(name for name in own if name in expensive) if fast else (),
        fleet_model=FLEET_MODEL in selected,
    )
