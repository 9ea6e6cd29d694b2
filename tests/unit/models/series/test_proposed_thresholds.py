"""A threshold from the history of a series: above what is usual, stable, and never raised by an incident."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.arrays import FloatArray
from core.domain import Direction, Role, Series, SeriesKind
from models.series.proposed_thresholds import may_be_proposed, propose_threshold

STEP_S = 300
DAY = 86_400 // STEP_S
LATENCY = Series(tenant="t", service="cart", metric="latency_p99", role=Role.LATENCY)
IN_SECONDS = replace(LATENCY, unit="seconds")
RATIO = Series(
    tenant="t",
    service="cart",
    metric="request_error_ratio",
    role=Role.ERRORS,
    unit="ratio",
    kind=SeriesKind.RATIO,
    direction=Direction.UP_IS_BAD,
)
RATE = Series(tenant="t", service="db", metric="deadlocks_per_second", role=Role.ERRORS, unit="deadlocks/s")
SUCCESS = replace(RATIO, metric="targets_up_ratio", direction=Direction.DOWN_IS_BAD)


def course(seed: int, days: int = 30) -> FloatArray:
    """A latency with a day, noise, and spikes of single values."""
    rng = np.random.default_rng(seed)
    steps = np.arange(days * DAY)
    values = 0.2 * (1 + 0.3 * np.sin(2 * np.pi * steps / DAY)) * np.exp(rng.normal(0, 0.1, steps.size))
    values[rng.random(steps.size) < 0.002] *= 8
    return np.asarray(values)


def proposed(series: Series, values: FloatArray, current: float | None = None) -> float:
    found = propose_threshold(series, values, step_s=STEP_S, current=current)
    assert found is not None
    return found


def worst(values: FloatArray) -> float:
    """The largest median of three values in a row."""
    return float(np.median(np.lib.stride_tricks.sliding_window_view(values, 3), axis=1).max())


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("days", [2, 9, 30])
def test_a_proposed_threshold_lies_above_a_quiet_history_and_below_a_slow_release(
    seed: int, days: int
) -> None:
    values = course(seed, days)
    assert 1.2 * worst(values) < proposed(LATENCY, values) < 3 * worst(values)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 50),
    days=st.integers(1, 30),
    power=st.integers(-12, 12),
)
def test_scaling_a_series_scales_its_proposed_threshold(seed: int, days: int, power: int) -> None:
    values = course(seed, days)
    scaled = proposed(LATENCY, values * 10.0**power)
    assert scaled == pytest.approx(proposed(LATENCY, values) * 10.0**power, rel=0.11)


@pytest.mark.parametrize("seed", range(10))
def test_a_success_ratio_gets_the_mirrored_threshold_of_its_errors(seed: int) -> None:
    errors = course(seed) / 10
    mirrored = proposed(SUCCESS, 1 - errors)
    assert mirrored == pytest.approx(1 - proposed(RATIO, errors), abs=1e-6)
    assert proposed(SUCCESS, 1 - errors, mirrored) == mirrored


@pytest.mark.parametrize("days", [1, 3, 6])
@pytest.mark.parametrize("end", [0, 4])
def test_an_incident_that_lasts_days_does_not_raise_it(days: int, end: int) -> None:
    quiet = course(1)
    bad = quiet.copy()
    bad[len(bad) - (end + days) * DAY : len(bad) - end * DAY] *= 10
    before = proposed(LATENCY, quiet)
    assert proposed(LATENCY, bad, before) == before


def test_a_job_that_runs_every_week_is_usual() -> None:
    values = course(1)
    for week in range(4):
        values[(3 + 7 * week) * DAY : (3 + 7 * week) * DAY + 24] = 2.0
    assert proposed(LATENCY, values) > 2.0


def test_it_changes_only_when_the_history_is_clearly_different() -> None:
    first = proposed(LATENCY, course(1))
    for seed in range(2, 12):
        assert proposed(LATENCY, course(seed) * 1.1, first) == first
    assert proposed(LATENCY, course(2) * 3, first) > 2 * first
    assert proposed(LATENCY, course(2) / 3, first) < first / 2


@pytest.mark.parametrize(
    ("series", "least"),
    [(RATIO, 0.01), (RATE, 0.01), (IN_SECONDS, 0.01), (replace(LATENCY, unit="ms"), 10.0)],
)
def test_a_history_of_zeros_gets_the_least_threshold_of_its_unit(series: Series, least: float) -> None:
    assert proposed(series, np.zeros(3 * DAY)) == pytest.approx(least)


def test_without_a_day_of_values_nothing_is_proposed_and_a_stored_proposal_stays() -> None:
    values = course(1, 2)
    values[: len(values) - 18 * 12] = np.nan
    assert propose_threshold(LATENCY, values, step_s=STEP_S) is None
    assert propose_threshold(LATENCY, values, step_s=STEP_S, current=0.7) == 0.7
    assert propose_threshold(LATENCY, np.full(50, np.nan), step_s=STEP_S) is None


def test_a_ratio_that_is_often_high_gets_none() -> None:
    assert propose_threshold(RATIO, np.full(3 * DAY, 0.8), step_s=STEP_S) is None


@pytest.mark.parametrize(
    ("series", "may"),
    [
        (LATENCY, True),
        (RATIO, True),
        (RATE, True),
        (SUCCESS, True),
        (replace(LATENCY, slo_threshold=1.0), False),
        (replace(LATENCY, limit=1.0), False),
        (replace(LATENCY, role=Role.TRAFFIC), False),
        (replace(RATE, unit=""), False),  # counts of what is missing, and states
        (replace(RATE, direction=Direction.DOWN_IS_BAD), False),
    ],
)
def test_only_latency_and_errors_without_slo_and_limit_get_one(series: Series, *, may: bool) -> None:
    assert may_be_proposed(series) is may


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e-300, 1.7e308, -1.7e308, 0.1 + 0.2])
def test_any_constant_gets_a_finite_threshold_or_none(value: float) -> None:
    for series in (LATENCY, IN_SECONDS, RATIO, RATE, SUCCESS):
        found = propose_threshold(series, np.full(2 * DAY, value), step_s=STEP_S)
        assert found is None or np.isfinite(found)
