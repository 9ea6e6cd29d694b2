"""Intervals hold what they promise, and are nested and ordered."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from core.arrays import FloatArray
from models.forecast.choice.selection import Plan, select
from models.forecast.intervals.conformal import LEVELS, PROBABILITIES, ErrorModel, fit_errors, wide_errors
from models.forecast.intervals.widths import PastErrors
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.protocols import Bounds, History

FREE = Bounds()


def errors(origins: int, steps: int = 24, seed: int = 0) -> FloatArray:
    """Errors that last from step to step and grow with it, with heavy tails."""
    rng = np.random.default_rng(seed)
    out = np.empty((origins, steps))
    state = rng.standard_t(4, origins)
    for step in range(steps):
        state = 0.8 * state + 0.6 * rng.standard_t(4, origins)
        out[:, step] = state * np.sqrt(1 + step / 6)
    return out


def fitted(made: FloatArray) -> ErrorModel:
    """Learned from windows that do not overlap."""
    origins = tuple(made.shape[1] * (1 + np.arange(len(made))))
    known = origins[-1] + made.shape[1]
    past = PastErrors(errors=made, yhat=np.zeros_like(made), origins=origins, known=known)
    return fit_errors(past, floor=1e-9)


@pytest.mark.parametrize(("level", "slack"), [(0.8, 0.04), (0.95, 0.02)])
def test_intervals_cover_new_errors_as_promised(level: float, slack: float) -> None:
    shares = []
    for seed in range(150):
        model = fitted(errors(24, seed=seed))
        low, high = model.interval(np.zeros(24), level, FREE)
        fresh = errors(50, seed=10_000 + seed)
        shares.append(float(((fresh >= low) & (fresh <= high)).mean()))
    assert abs(float(np.mean(shares)) - level) <= slack


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_intervals_are_ordered_nested_and_widen_with_the_step(seed: int, origins: int, steps: int) -> None:
    model = fitted(errors(origins, steps, seed=seed))
    yhat = np.zeros(steps)
    low_80, high_80 = model.interval(yhat, 0.8, FREE)
    low_95, high_95 = model.interval(yhat, 0.95, FREE)
    assert (low_95 <= low_80).all()
    assert (low_80 <= yhat).all()
    assert (yhat <= high_80).all()
    assert (high_80 <= high_95).all()
    assert (np.diff(high_95 - low_95) >= -1e-9).all()


def test_a_ratio_keeps_its_limits_in_intervals_and_paths() -> None:
    model = fitted(errors(24))
    bounds = Bounds(lower=0.0, upper=1.0)
    low, high = model.interval(np.full(24, 0.95), 0.95, bounds)
    paths = model.paths(np.full(24, 0.95), 100, bounds, np.random.default_rng(1)).simulate()
    assert low.min() >= 0
    assert high.max() <= 1
    assert paths.min() >= 0
    assert paths.max() <= 1


def test_paths_have_the_widths_of_the_intervals_and_neighbours_move_together() -> None:
    model = fitted(errors(200))
    paths = model.paths(np.zeros(24), 4_000, FREE, np.random.default_rng(1)).simulate()
    low, high = model.interval(np.zeros(24), 0.8, FREE)
    inside = ((paths >= low) & (paths <= high)).mean()
    assert inside == pytest.approx(0.8, abs=0.03)
    assert np.corrcoef(paths[:, 10], paths[:, 11])[0, 1] > 0.5


def test_missing_actuals_are_left_out() -> None:
    holes = errors(24)
    holes[:, 5] = np.nan
    holes[3] = np.nan
    model = fitted(holes)
    for memory in model.memories:
        assert np.isfinite(memory.widths.scale).all()
        assert np.isfinite(memory.quantiles).all()


@settings(max_examples=60)
@given(seed=st.integers(0, 1_000), windows=st.integers(1, 30), known=st.floats(0.0, 1.0))
def test_errors_of_any_windows_may_be_unknown(seed: int, windows: int, known: float) -> None:
    rng = np.random.default_rng(seed)
    made = errors(windows, seed=seed)
    made[rng.random(windows) >= known] = np.nan  # whole windows, as in maintenance or before a series began
    made[rng.random(made.shape) >= known] = np.nan
    low, high = fitted(made).interval(np.zeros(24), 0.95, Bounds())
    assert np.isfinite(low).all()
    assert (low <= high).all()


def test_intervals_learned_from_few_windows_are_wider() -> None:
    few = [fitted(errors(3, seed=seed)).interval(np.zeros(24), 0.95, FREE) for seed in range(100)]
    many = [fitted(errors(40, seed=seed)).interval(np.zeros(24), 0.95, FREE) for seed in range(100)]
    # Three windows rarely show the tails, so that their own extremes alone would be too narrow.
    assert np.mean([high - low for low, high in few]) > 0.9 * np.mean([high - low for low, high in many])


def test_windows_that_overlap_do_not_vouch_for_one_another() -> None:
    """The same window told again and again is worth one window."""
    once = errors(6)
    again = np.repeat(once, 4, axis=0)
    origins = tuple(24 * (1 + np.arange(24) // 4) + np.arange(24) % 4)
    past = PastErrors(errors=again, yhat=np.zeros_like(again), origins=origins, known=24 * 8)
    low, high = fit_errors(past, floor=1e-9).interval(np.zeros(24), 0.95, FREE)
    alone_low, alone_high = fitted(once).interval(np.zeros(24), 0.95, FREE)
    assert np.mean(high - low) == pytest.approx(np.mean(alone_high - alone_low), rel=0.1)


def noise_of(kind: str, rng: np.random.Generator, steps: int) -> FloatArray:
    """What cannot be forecast, of three kinds; it lasts for a few hours."""
    fresh = rng.standard_t(3, steps) if kind == "heavy tails" else rng.normal(0, 1.5, steps)
    if kind == "restless days":
        fresh = fresh * (1 + 0.8 * np.sin(2 * np.pi * np.arange(steps) / 24))
    noise = np.zeros(steps)
    for step in range(1, steps):
        noise[step] = 0.5 * noise[step - 1] + fresh[step]
    return noise


@pytest.mark.parametrize("kind", ["even", "restless days", "heavy tails"])
def test_forecasts_of_series_with_known_noise_hold_as_often_as_they_say(kind: str) -> None:
    """From the values to the interval: 24 series of four weeks, a day ahead of each."""
    held: dict[float, list[float]] = {level: [] for level in LEVELS}
    for seed in range(24):
        rng = np.random.default_rng(seed)
        t = np.arange(24 * 29)
        values = 50 + 10 * np.sin(2 * np.pi * t / 24) + 3 * (t // 24 % 7 < 5) + noise_of(kind, rng, len(t))
        start = datetime(2026, 1, 5, tzinfo=UTC)
        history = History(values=values[:-24], start=start, step_s=3_600, seasons=(24, 168))
        choice = select(history, Plan(origins=12))
        yhat = PoolForecaster(choice.weights).fit(history).predict(24)
        for level in LEVELS:
            low, high = choice.errors.interval(yhat, level, FREE)
            held[level].append(float(((values[-24:] >= low) & (values[-24:] <= high)).mean()))
    for level, shares in held.items():
        doubt = 2.5 * float(np.std(shares)) / np.sqrt(len(shares))
        assert abs(float(np.mean(shares)) - level) <= doubt + 0.02


def test_a_handful_of_values_gets_wide_intervals() -> None:
    low, high = wide_errors(np.array([5.0, 5.0]), 24, 0.01).interval(np.full(24, 5.0), 0.95, FREE)
    assert (high - low)[0] > 0.5
    assert (high - low)[-1] > 4 * (high - low)[0]


@given(rho=st.floats(0.0, 0.99), seed=st.integers(0, 100), level=st.floats(0.0, 1e6))
def test_paths_are_interpolated_quantiles_within_their_range(rho: float, seed: int, level: float) -> None:
    model = replace(fitted(errors(100)), rho=rho)
    yhat: FloatArray = level + np.arange(24, dtype=np.float64)
    bounds = Bounds(lower=0.0)
    found = model.paths(yhat, 50, bounds, np.random.default_rng(seed))
    normal = np.random.default_rng(seed).standard_normal((50, 24))
    for step in range(1, 24):
        normal[:, step] = rho * normal[:, step - 1] + np.sqrt(1.0 - rho**2) * normal[:, step]
    total = sum(
        np.interp(ndtr(normal), PROBABILITIES, one.quantiles) * one.widths.around(yhat)
        for one in model.memories
    )
    paths = found.simulate()
    assert np.array_equal(paths, bounds.clip(yhat + total / len(model.memories)))
    assert found.lowest <= paths.min()
    assert paths.max() <= found.highest
