"""Window features against naive loops, and the properties that hold for any series."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features import windows

VALUES = arrays(np.float64, st.integers(30, 80), elements=st.floats(-100, 100, width=32))


def run(expression: pl.Expr, values: np.ndarray) -> np.ndarray:
    frame = pl.DataFrame({"x": values}).with_columns(pl.col("x").fill_nan(None))
    return frame.select(expression.alias("y")).to_series().cast(pl.Float64).fill_null(np.nan).to_numpy()


def naive_slope(values: np.ndarray, steps: int, per_h: float) -> list[float]:
    third = steps // 3
    found = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - steps) : end]
        late, early = window[-third:], window[:third]
        enough = end >= steps - third + max(1, third // 2)
        found.append(
            (late.mean() - early.mean()) / ((steps - third) / per_h) if enough and end >= steps else math.nan
        )
    return found


def test_a_line_has_its_own_slope() -> None:
    line = 0.25 * np.arange(60) + 3
    slopes = run(windows.slope_per_h(pl.col("x"), 12, 12.0), line)
    assert slopes[20:] == pytest.approx(0.25 * 12)


@settings(max_examples=50)
@given(VALUES)
def test_the_slope_is_that_of_a_naive_loop(values: np.ndarray) -> None:
    fast = run(windows.slope_per_h(pl.col("x"), 12, 12.0), values)
    slow = np.array(naive_slope(values, 12, 12.0))
    known = ~np.isnan(slow)
    assert fast[known] == pytest.approx(slow[known], abs=1e-8)


@settings(max_examples=50)
@given(VALUES, st.floats(-50, 50), st.floats(0.1, 10))
def test_slopes_ignore_shifts_and_follow_scales(values: np.ndarray, shift: float, scale: float) -> None:
    expression = windows.slope_per_h(pl.col("x"), 12, 12.0)
    moved = run(expression, values * scale + shift)
    assert moved == pytest.approx(run(expression, values) * scale, abs=1e-6, nan_ok=True)


@settings(max_examples=50)
@given(VALUES, VALUES)
def test_no_window_feature_looks_ahead(values: np.ndarray, other: np.ndarray) -> None:
    level = windows.mean(pl.col("x"), 3)
    slope = windows.slope_per_h(pl.col("x"), 12, 12.0)
    cut = 20
    changed = values.copy()
    changed[cut:] = np.resize(other, len(values) - cut)
    for expression in (
        level,
        slope,
        windows.change_per_h(slope, 6, 12.0),
        windows.spread(pl.col("x"), 6),
        windows.above_ceiling(level, 5, 2),
        windows.rise_from_low(level, 10),
        windows.times_usual(slope, 5, 2, 0.01),
        windows.usual_at_this_time(level, 5, 2),
        windows.hours_to_limit(level, slope),
    ):
        before, after = run(expression, values)[:cut], run(expression, changed)[:cut]
        assert before == pytest.approx(after, abs=1e-9, nan_ok=True)


def test_a_full_resource_has_no_time_left_and_a_falling_one_is_never_full() -> None:
    rising, falling = np.linspace(0.5, 1.2, 60), np.linspace(0.9, 0.1, 60)
    expression = windows.hours_to_limit(
        windows.mean(pl.col("x"), 3), windows.slope_per_h(pl.col("x"), 12, 12.0)
    )
    assert run(expression, rising)[-1] == 0.0
    assert run(expression, falling)[-1] == windows.HOURS_CAP


def test_missing_values_are_skipped_and_too_few_values_answer_nothing() -> None:
    values = np.full(24, np.nan)
    values[::6] = 1.0
    assert np.isnan(run(windows.mean(pl.col("x"), 12), values)).all()
    values[:] = 2.0
    values[5] = np.nan
    assert run(windows.mean(pl.col("x"), 12), values)[-1] == 2.0


def test_a_constant_is_never_unusual() -> None:
    constant = np.full(80, 0.4)
    level = windows.mean(pl.col("x"), 3)
    usual = windows.usual_at_this_time(level, 5, 2)
    assert run(windows.deviation(level, usual, windows.spread(pl.col("x"), 10), 0.005), constant)[-1] == 0.0
    assert run(windows.above_ceiling(level, 5, 2), constant)[-1] == pytest.approx(0.0)


def test_hours_over_a_mark_count_from_its_crossing_and_end_below_it() -> None:
    values = np.array([0.0, 0.2, 0.2, np.nan, 0.2, 0.2, 0.0, 0.3])
    hours = run(windows.hours_over(pl.col("x"), 0.1, 6, 2.0), values)
    assert hours.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 0.0, 0.5]
    assert run(windows.hours_over(pl.col("x"), 0.1, 6, 2.0), np.full(9, 0.5)).tolist() == [3.0] * 9
