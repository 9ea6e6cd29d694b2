"""Intervals hold what they promise, are nested and ordered, and follow the unrest of the series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forecasters.conformal import ErrorModel, fit_errors, follow, unrest, wide_errors
from models.forecasters.protocols import Bounds, FloatArray

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


@pytest.mark.parametrize(("level", "slack"), [(0.8, 0.04), (0.95, 0.02)])
def test_intervals_cover_new_errors_as_promised(level: float, slack: float) -> None:
    shares = []
    for seed in range(150):
        model = fit_errors(errors(24, seed=seed), floor=1e-9)
        low, high = model.interval(np.zeros(24), level, FREE)
        fresh = errors(50, seed=10_000 + seed)
        shares.append(float(((fresh >= low) & (fresh <= high)).mean()))
    assert abs(float(np.mean(shares)) - level) <= slack


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_intervals_are_ordered_nested_and_widen_with_the_step(seed: int, origins: int, steps: int) -> None:
    model = fit_errors(errors(origins, seed=seed), floor=1e-9)
    yhat = np.zeros(steps)
    low_80, high_80 = model.interval(yhat, 0.8, FREE)
    low_95, high_95 = model.interval(yhat, 0.95, FREE)
    assert (low_95 <= low_80).all()
    assert (low_80 <= yhat).all()
    assert (yhat <= high_80).all()
    assert (high_80 <= high_95).all()
    assert (np.diff(high_95 - low_95) >= -1e-9).all()


def test_a_ratio_keeps_its_limits_in_intervals_and_paths() -> None:
    model = fit_errors(errors(24), floor=1e-9)
    bounds = Bounds(lower=0.0, upper=1.0)
    low, high = model.interval(np.full(24, 0.95), 0.95, bounds)
    paths = model.paths(np.full(24, 0.95), 100, bounds, np.random.default_rng(1))
    assert low.min() >= 0
    assert high.max() <= 1
    assert paths.min() >= 0
    assert paths.max() <= 1


def test_paths_have_the_widths_of_the_intervals_and_neighbours_move_together() -> None:
    model = fit_errors(errors(200), floor=1e-9)
    paths = model.paths(np.zeros(24), 4_000, FREE, np.random.default_rng(1))
    low, high = model.interval(np.zeros(24), 0.8, FREE)
    inside = ((paths >= low) & (paths <= high)).mean()
    assert inside == pytest.approx(0.8, abs=0.03)
    assert np.corrcoef(paths[:, 10], paths[:, 11])[0, 1] > 0.5


def test_missing_actuals_are_left_out() -> None:
    holes = errors(24)
    holes[:, 5] = np.nan
    holes[3] = np.nan
    model = fit_errors(holes, floor=1e-9)
    assert np.isfinite(model.scale).all()
    assert np.isfinite(model.quantiles).all()


def test_a_restless_series_gets_wider_intervals() -> None:
    model = ErrorModel(scale=np.ones(3), quantiles=np.linspace(-1, 1, 17), rho=0.5, calm=1.0)
    assert model.at_unrest(4.0).scale == pytest.approx(np.full(3, 2.0))
    assert model.at_unrest(float("nan")).scale == pytest.approx(np.ones(3))


def test_unrest_is_the_change_from_season_to_season() -> None:
    assert unrest(np.tile([1.0, 2.0, 3.0], 5) + np.repeat(np.arange(5.0), 3), 3) == pytest.approx(1.0)
    assert np.isnan(unrest(np.array([1.0]), 3))


def test_errors_made_in_calm_count_more_when_it_is_restless() -> None:
    assert follow(4.0, np.array([1.0, 4.0])) == pytest.approx([2.0, 1.0])


def test_a_handful_of_values_gets_wide_intervals() -> None:
    low, high = wide_errors(np.array([5.0, 5.0]), 24, 0.01).interval(np.full(24, 5.0), 0.95, FREE)
    assert (high - low)[0] > 0.5
    assert (high - low)[-1] > 4 * (high - low)[0]
