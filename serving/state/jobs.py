"""The three jobs of a model, limited to what the service calls.

A bundle of any library can serve when it fulfils the protocol of its job. The protocols are checked when a bundle is
loaded, so an endpoint never meets an object without the method that it needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.domain import FailureRisk, Series
from models.detect.series_model import PointScore

#: Stored values of one series: epoch seconds and values (NaN = missing), in the order of time.
Stored = tuple[NDArray[np.int64], NDArray[np.float64]]


@runtime_checkable
class FleetDetector(Protocol):
    """Scores new values of the series that it has learned."""

    @property
    def models(self) -> Mapping[int, Any]:
        """Series id -> the model of that series."""
        ...

    def with_limits(self, stored: Iterable[Series]) -> "FleetDetector":
        """The detector with these limits and SLO thresholds instead of those at the time of its training."""
        ...

    def score_points(
        self,
        series_id: int,
        ts: Sequence[datetime],
        values: Sequence[float | None],
        context: Stored | None = None,
    ) -> Sequence[PointScore]:
        """Score a few values of one series.

        Args:
            ts, values: in the order of time; null = missing.
            context: the stored values just before them.
        Raises:
            UnknownSeriesError: the detector has no model of that series.
        """
        ...


class ForecastResult(Protocol):
    """The forecast of one series: `h` steps from `made_at`."""

    @property
    def made_at(self) -> datetime: ...
    @property
    def yhat(self) -> NDArray[np.float64]:
        """The median, length h, in the unit of the series."""
        ...

    @property
    def lower(self) -> Mapping[float, NDArray[np.float64]]:
        """Level -> lower edge of its interval, length h."""
        ...

    @property
    def upper(self) -> Mapping[float, NDArray[np.float64]]:
        """Level -> upper edge of its interval, length h."""
        ...

    def times(self) -> Sequence[datetime]:
        """The time of each step, length h."""
        ...


class KeptHistory(Protocol):
    """The history of one series that a forecaster keeps."""

    @property
    def end(self) -> datetime:
        """Exclusive."""
        ...

    @property
    def step_s(self) -> int: ...


class ForecastEntry(Protocol):
    """What a forecaster keeps of one series."""

    @property
    def history(self) -> KeptHistory: ...


@runtime_checkable
class FleetForecaster(Protocol):
    """Forecasts the series that it has learned."""

    def entry(self, series_id: int) -> ForecastEntry:
        """What is kept of that series.

        Raises:
            UnknownSeriesError: the forecaster has not learned that series.
        """
        ...

    def forecast(
        self,
        series_id: int,
        recent: pl.DataFrame | None = None,
        horizon_steps: int | None = None,
        levels: Sequence[float] = ...,
    ) -> ForecastResult:
        """Forecast one series.

        Args:
            recent: `core.frames.SAMPLES` since the end of the kept history.
            levels: of the intervals, each in (0, 1).
        """
        ...


@runtime_checkable
class HoldsForecasters(Protocol):
    """The registered bundle of kind `forecaster`: the forecasters and what follows from past breaches."""

    @property
    def forecasters(self) -> FleetForecaster: ...


@runtime_checkable
class FailurePredictor(Protocol):
    """Predicts whether services fail, from their features."""

    @property
    def names(self) -> tuple[str, ...]:
        """The features that `predict` needs."""
        ...

    def predict(self, features: pl.DataFrame) -> Sequence[FailureRisk]:
        """One risk for each row.

        Args:
            features: `names` and `ts`.
        """
        ...
