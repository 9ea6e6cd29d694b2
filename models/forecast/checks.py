"""Checks that every forecaster must pass.

Each check raises AssertionError with one sentence. They ship with the package, so that you can check your own
forecaster in its tests: `for check in CHECKS: check(forecaster)`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.protocols import Bounds, Forecaster, History

START = datetime(2026, 1, 5, tzinfo=UTC)
HORIZON = 24


def example(days: int = 21, *, seed: int = 1, level: float = 100.0, swing: float = 20.0) -> History:
    """Hourly load with a daily course and a little noise."""
    t = np.arange(24 * days)
    noise = np.random.default_rng(seed).normal(0, 0.02 * level + 1e-3, len(t))
    values = level + swing * np.sin(2 * np.pi * t / 24) + noise
    return History(values=values, start=START, step_s=3_600, seasons=(24, 168))


def _predict(forecaster: Forecaster, history: History, steps: int = HORIZON) -> FloatArray:
    return forecaster.fit(history).predict(steps)


def check_shape(forecaster: Forecaster) -> None:
    """A forecast has one finite value for each step, for one step and for many."""
    for steps in (1, 7, HORIZON, 60):
        yhat = _predict(forecaster, example(), steps)
        _require(yhat.shape == (steps,), f"a forecast of {steps} steps has the shape {yhat.shape}")
        _require(bool(np.isfinite(yhat).all()), "a forecast contains NaN or infinity")


def check_input_is_left_alone(forecaster: Forecaster) -> None:
    """The history is not changed."""
    history = example()
    before = history.values.copy()
    _predict(forecaster, history)
    _require(bool(np.array_equal(history.values, before)), "the history was changed")


def check_same_twice(forecaster: Forecaster) -> None:
    """The same history gives the same forecast to the last bit."""
    first, second = _predict(forecaster, example()), _predict(forecaster, example())
    _require(bool(np.array_equal(first, second)), "two fits of one history differ")


def check_no_look_ahead(forecaster: Forecaster) -> None:
    """Values after an origin do not change the forecast from that origin."""
    whole = example()
    cut = len(whole) - HORIZON
    other = replace(whole, values=np.concatenate([whole.values[:cut], np.full(HORIZON, 1e6)]))
    first, second = _predict(forecaster, whole.until(cut)), _predict(forecaster, other.until(cut))
    _require(bool(np.array_equal(first, second)), "the forecast depends on values after its origin")


def check_follows_a_season(forecaster: Forecaster) -> None:
    """On a clean daily course the error is less than half of that of a flat line."""
    whole = example(22)
    history = whole.until(len(whole) - HORIZON)
    truth = whole.values[-HORIZON:]
    error = float(np.mean(np.abs(_predict(forecaster, history) - truth)))
    flat = float(np.mean(np.abs(np.mean(history.values) - truth)))
    _require(error < 0.5 * flat, f"error {error:.3g}, of a flat line {flat:.3g}")


def check_bounds(forecaster: Forecaster) -> None:
    """The forecast of a ratio stays in [0, 1], even if its trend leads out of that range."""
    values = np.clip(np.linspace(0.2, 1.3, 24 * 14), 0.0, 1.0)
    history = History(
        values=values, start=START, step_s=3_600, seasons=(24,), bounds=Bounds(lower=0.0, upper=1.0)
    )
    yhat = _predict(forecaster, history, 48)
    _require(bool(((yhat >= 0) & (yhat <= 1)).all()), "a ratio was forecast outside 0 to 1")


def check_constant(forecaster: Forecaster) -> None:
    """The forecast of a constant is that constant."""
    history = History(values=np.full(24 * 10, 7.0), start=START, step_s=3_600, seasons=(24,))
    yhat = _predict(forecaster, history)
    _require(bool(np.allclose(yhat, 7.0, atol=0.05)), f"the forecast of the constant 7 is {yhat[:3]}")


def check_gaps(forecaster: Forecaster) -> None:
    """Missing values, single ones and a whole day, neither stop the forecast nor change it much."""
    history = example()
    holes = history.values.copy()
    holes[np.random.default_rng(3).random(len(holes)) < 0.05] = np.nan
    holes[200:224] = np.nan
    yhat, whole = _predict(forecaster, replace(history, values=holes)), _predict(forecaster, history)
    _require(float(np.mean(np.abs(yhat - whole))) < 6.0, "gaps changed the forecast")


def check_short_history(forecaster: Forecaster) -> None:
    """Twelve values give a forecast near them, or an InsufficientDataError."""
    history = History(values=np.linspace(10, 12, 12), start=START, step_s=3_600, seasons=(24, 168))
    try:
        yhat = _predict(forecaster, history)
    except InsufficientDataError:
        return
    _require(
        bool(((yhat > -50) & (yhat < 80)).all()), f"the forecast of 12 values from 10 to 12 is {yhat[:3]}"
    )


def check_too_little_is_refused(forecaster: Forecaster) -> None:
    """One value gives an InsufficientDataError."""
    values = np.full(48, np.nan)
    values[-1] = 1.0
    try:
        _predict(forecaster, History(values=values, start=START, step_s=3_600))
    except InsufficientDataError:
        return
    raise AssertionError("the forecaster accepted a history of one value")


def check_scale(forecaster: Forecaster) -> None:
    """The forecast does not depend on the unit: bytes and gibibytes give the same."""
    history = example()
    plain = _predict(forecaster, history)
    scaled = _predict(forecaster, replace(history, values=history.values * 1024.0)) / 1024.0
    _require(float(np.max(np.abs(plain - scaled))) < 1.5, "another unit gives another forecast")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


CHECKS: tuple[Callable[[Forecaster], None], ...] = (
    check_shape,
    check_input_is_left_alone,
    check_same_twice,
    check_no_look_ahead,
    check_follows_a_season,
    check_bounds,
    check_constant,
    check_gaps,
    check_short_history,
    check_too_little_is_refused,
    check_scale,
)
