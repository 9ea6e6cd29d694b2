"""Each gate says why."""

import numpy as np
import pytest

from core.domain import Band, Role, Series
from models.detect.filters import (
    clear_baseline,
    crosses,
    noticeable,
    predictable,
    slo_impact,
    variance_ratio_z,
)


def test_a_random_walk_is_told_from_a_level_with_noise() -> None:
    rng = np.random.default_rng(1)
    walks = [variance_ratio_z(np.cumsum(rng.normal(size=720))) for _ in range(200)]
    levels = [variance_ratio_z(rng.normal(size=720)) for _ in range(200)]
    assert np.mean([predictable(z).passed for z in walks]) < 0.10
    assert np.mean([predictable(z).passed for z in levels]) > 0.99


def test_a_line_and_a_constant_are_predictable() -> None:
    line = np.arange(720.0) + np.random.default_rng(2).normal(0, 3, 720)
    assert predictable(variance_ratio_z(line)).passed
    assert predictable(variance_ratio_z(np.full(720, 3.0))).passed


def test_a_day_of_history_is_not_a_clear_baseline() -> None:
    assert not clear_baseline(1.0).passed
    assert "1.0 days" in clear_baseline(1.0).reason
    assert clear_baseline(7.1).passed
    assert not predictable(variance_ratio_z(np.arange(20, dtype=np.float64))).passed


@pytest.mark.parametrize(
    ("role", "slo", "value", "passes"),
    [
        (Role.LATENCY, 400.0, 390.0, True),
        (Role.LATENCY, 400.0, 500.0, True),
        (Role.LATENCY, 400.0, 105.0, False),
        (Role.LATENCY, 400.0, 20.0, False),
        (Role.CAPACITY, 10.0, 30.0, True),  # free space: the threshold lies below
        (Role.CAPACITY, 10.0, 200.0, False),
        (Role.ERRORS, None, 120.0, True),
        (Role.ERRORS, None, 20.0, False),
        (Role.TRAFFIC, None, 20.0, True),
        (Role.TRAFFIC, None, 300.0, False),
    ],
)
def test_only_what_users_could_notice_passes(
    role: Role, slo: float | None, value: float, *, passes: bool
) -> None:
    series = Series(tenant="t", service="s", metric="m", role=role, slo_threshold=slo)
    assert slo_impact(series, value, 100.0).passed is passes


@pytest.mark.parametrize(
    ("metric", "role", "value", "expected", "passes"),
    [
        ("cpu_used_ratio", Role.SATURATION, 0.22, 0.08, False),
        ("cpu_used_ratio", Role.SATURATION, 0.62, 0.08, True),
        ("disk_busy_ratio", Role.SATURATION, 0.30, 0.10, False),
        ("disk_busy_ratio", Role.SATURATION, 0.93, 0.80, True),
        ("CPUUtilization", Role.SATURATION, 0.50, 0.40, False),
        ("pool_used_ratio", Role.CAPACITY, 0.99, 0.80, True),
        ("cpu_used_ratio", Role.SATURATION, 0.02, 0.50, False),  # less is used
        ("cpu_used_ratio", Role.SATURATION, 1.40, 1.10, True),  # of more than there is
        ("jvm_gc_time_ratio", Role.SATURATION, 0.20, 0.02, True),  # wasted, not used
        ("cpu_throttled_ratio", Role.SATURATION, 0.20, 0.0, True),
        ("http_request_error_ratio", Role.ERRORS, 0.03, 0.0, True),
    ],
)
def test_a_resource_that_is_far_from_used_up_wakes_nobody(
    metric: str, role: Role, value: float, expected: float, *, passes: bool
) -> None:
    series = Series(tenant="t", service="s", metric=metric, unit="ratio", role=role)
    result = slo_impact(series, value, expected)
    assert result.passed is passes, result.reason


@pytest.mark.parametrize(
    ("unit", "role", "value", "band", "passes"),
    [
        ("seconds", Role.LATENCY, 0.00075, (0.00064, 0.00044, 0.00084), False),  # inside
        ("seconds", Role.LATENCY, 0.0025, (0.00064, 0.00044, 0.00084), False),  # two milliseconds
        ("seconds", Role.LATENCY, 0.0075, (0.00064, 0.00044, 0.00084), True),
        ("seconds", Role.LATENCY, 2.2, (2.0, 1.99, 2.01), False),  # a tenth
        ("seconds", Role.LATENCY, 2.6, (2.0, 1.99, 2.01), True),
        ("ratio", Role.SATURATION, 0.32, (0.3, 0.299, 0.301), False),
        ("ratio", Role.SATURATION, 0.95, (0.88, 0.87, 0.89), True),
        ("ratio", Role.ERRORS, 0.015, (0.0, 0.0, 0.001), True),
        ("transactions/s", Role.TRAFFIC, 17.5, (19.0, 18.6, 23.7), False),
        ("transactions/s", Role.TRAFFIC, 5.0, (19.0, 18.6, 23.7), True),
        ("", Role.SATURATION, 1.7e308, (0.0, -1.0, 1.0), True),
        ("", Role.SATURATION, 1.7e308, (-1.7e308, -1.7e308, 1.0), True),
    ],
)
def test_a_value_must_leave_the_expected_range_by_more_than_nobody_cares_about(
    unit: str, role: Role, value: float, band: tuple[float, float, float], *, passes: bool
) -> None:
    series = Series(tenant="t", service="s", metric="m", unit=unit, role=role)
    expected, lower, upper = band
    result = noticeable(series, value, Band(expected=expected, lower=lower, upper=upper))
    assert result.passed is passes, result.reason


def test_past_its_threshold_each_difference_is_noticeable() -> None:
    series = Series(tenant="t", service="s", metric="m", unit="ratio", role=Role.CAPACITY, limit=1.0)
    band = Band(expected=0.97, lower=0.9, upper=0.99)
    assert crosses(series, 0.985, band.expected)
    assert noticeable(series, 0.985, band, past=True).passed


def test_a_level_that_crept_past_the_threshold_does_not_turn_its_bad_side_round() -> None:
    latency = Series(tenant="t", service="s", metric="m", role=Role.LATENCY, slo_threshold=0.15)
    assert "past the threshold" in slo_impact(latency, 0.28, expected=0.16).reason
    assert slo_impact(latency, 0.28, expected=0.16).passed
    assert not slo_impact(latency, 0.155, expected=0.16).passed, "it gets better"


def test_past_its_threshold_a_random_walk_is_trouble_all_the_same() -> None:
    assert not predictable(0.5).passed
    assert predictable(0.5, past=True).passed
    disk = Series(tenant="t", service="s", metric="disk_used_bytes", role=Role.CAPACITY, limit=100.0)
    assert crosses(disk, 98.5, expected=60.0), "full a little before its end"
    assert not crosses(disk, 97.0, expected=60.0)
    assert not crosses(disk, 98.5, expected=99.0), "it gets better"
    assert not crosses(Series(tenant="t", service="s", metric="m"), 98.5, expected=60.0)
