"""The contract of all forecasters: `fit` takes a history and returns a separate fitted object, which predicts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Protocol, runtime_checkable

import numpy as np

from core.arrays import FloatArray
from core.checks import require_utc
from core.errors import InputError
from models.forecast.states import Arrays
from models.series.magnitude import from_ordinary, scaled_number

#: (values without NaN, usable seasons, horizon_steps) -> the median of the coming values: a model that is a function.
Course = Callable[[FloatArray, tuple[int, ...], int], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The range of possible values of a series; null = no bound on that side."""

    lower: float | None = None
    upper: float | None = None

    def clip(self, values: FloatArray) -> FloatArray:
        """`values` moved into the bounds; the same shape."""
        if self.lower is None and self.upper is None:
            return values
        return np.clip(values, self.lower, self.upper)

    def scaled(self, exponent: int) -> "Bounds":
        """The bounds of the values multiplied by 2**exponent."""
        return Bounds(
            lower=None if self.lower is None else scaled_number(self.lower, exponent),
            upper=None if self.upper is None else scaled_number(self.upper, exponent),
        )

    def mirrored(self) -> "Bounds":
        """The bounds of the values with the opposite sign."""
        return Bounds(
            lower=None if self.upper is None else 0.0 - self.upper,
            upper=None if self.lower is None else 0.0 - self.lower,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One series on an even grid, up to the present.

    Attributes:
        values: float64, length n; NaN = missing. The last one is the newest.
        start: time of the first value.
        step_s: seconds between values.
        seasons: lengths of the seasons in steps, ascending, such as (24, 168) for hourly values.
        bounds: a ratio lies in [0, 1], a count is not below 0.
        deploys: times at which the normal values may have changed.
        holidays: dates, past and to come, on which people use the service differently.
        exponent: values and bounds are in units of 2**exponent, 0 for a series of ordinary size. Models work in these
            units; see `models/series/magnitude.py`.
    """

    values: FloatArray
    start: datetime
    step_s: int
    seasons: tuple[int, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    deploys: tuple[datetime, ...] = ()
    holidays: tuple[date, ...] = ()
    exponent: int = 0

    def __post_init__(self) -> None:
        require_utc(self.start, "start")
        if self.values.ndim != 1:
            raise InputError(f"a history has one dimension, got shape {self.values.shape}")
        if self.step_s <= 0:
            raise InputError(f"step_s must be positive, got {self.step_s}")
        if list(self.seasons) != sorted(set(self.seasons)) or any(season < 2 for season in self.seasons):
            raise InputError(f"seasons must ascend and be at least 2 steps, got {self.seasons}")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> datetime:
        """The time of the next value, which is the first that is forecast."""
        return self.start + timedelta(seconds=self.step_s * len(self.values))

    @property
    def usable_seasons(self) -> tuple[int, ...]:
        """The seasons that the history contains at least twice."""
        return tuple(season for season in self.seasons if 2 * season <= len(self.values))

    def in_unit(self, values: FloatArray) -> FloatArray:
        """Numbers in units of 2**exponent, in the unit of the series."""
        return from_ordinary(values, self.exponent)

    def mirrored(self) -> "History":
        """The same history of the series with the opposite sign."""
        return replace(self, values=0.0 - self.values, bounds=self.bounds.mirrored())

    def until(self, steps: int) -> "History":
        """The history as it was known after its first `steps` values; a backtest forecasts from it."""
        return History(
            values=self.values[:steps],
            start=self.start,
            step_s=self.step_s,
            seasons=self.seasons,
            bounds=self.bounds,
            deploys=tuple(
                at for at in self.deploys if at < self.start + timedelta(seconds=self.step_s * steps)
            ),
            holidays=self.holidays,
            exponent=self.exponent,
        )


class FittedForecaster(Protocol):
    """A forecaster that has learned from one history; immutable."""

    def predict(self, horizon_steps: int) -> FloatArray:
        """Predict the median of the coming values.

        Args:
            horizon_steps: number of steps, at least 1.
        Returns:
            float64, length `horizon_steps`, finite, within the bounds of the history; the first value
            is for `history.end`.
        """
        ...


class Forecaster(Protocol):
    """Settings of a forecaster, and how to fit it."""

    @property
    def name(self) -> str:
        """The name in the catalog, in records and in reports."""
        ...

    def fit(self, history: History) -> FittedForecaster:
        """Learn from one history, which is not changed. The same input gives the same result.

        Raises:
            InsufficientDataError: the history has fewer than `MIN_POINTS` values, or fewer than the model needs.
        """
        ...


class FittedStoredForecaster(FittedForecaster, Protocol):
    """A fitted forecaster whose state can be stored."""

    def to_arrays(self) -> Arrays:
        """The fitted state as plain arrays, from which `from_arrays` of the forecaster makes the same object."""
        ...


@runtime_checkable
class StoredForecaster(Forecaster, Protocol):
    """A forecaster that takes long to fit: the bundle stores what training fitted.

    A forecaster without `from_arrays` is fitted again for each forecast, on the newest values.
    """

    def fit(self, history: History) -> FittedStoredForecaster:
        """See `Forecaster.fit`."""
        ...

    def from_arrays(self, arrays: Arrays) -> FittedStoredForecaster:
        """The inverse of `FittedStoredForecaster.to_arrays`; its forecasts are equal to the last bit."""
        ...


#: Two values are the least that give a level and a spread.
MIN_POINTS = 2
