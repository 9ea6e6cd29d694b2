"""Resets of a sawtooth are found at any frequency, and the age of the last one predicts the next."""

import numpy as np
import pytest

from core.arrays import FloatArray
from models.breach.resets import Sawtooth, find_resets


def teeth(period: int, *, days: int = 20, height: float = 10.0, since: int = 0) -> FloatArray:
    """By the hour; the last reset was `since` hours before the end, or so many less than a period."""
    hours = np.arange(days * 24)
    noise = np.random.default_rng(1).normal(0, height / 50, len(hours))
    return 100.0 + height * ((hours - len(hours) + since) % period) / period + noise


@pytest.mark.parametrize("period", [6, 12, 24, 48])
def test_resets_are_found_however_often_they_come(period: int) -> None:
    found = find_resets(teeth(period, since=3))
    assert found is not None
    assert np.median(found.gaps) == period
    assert np.median(found.drops) == pytest.approx(10.0, rel=0.15)
    assert found.age == pytest.approx(3.5, abs=1.0)


def test_an_incident_hides_no_resets() -> None:
    values = teeth(12, days=30)
    values[300:310] += 60.0
    found = find_resets(values)
    assert found is not None
    assert np.median(found.gaps) == 12


def test_noise_alone_is_not_a_sawtooth() -> None:
    assert find_resets(np.random.default_rng(1).normal(0, 1, 500)) is None
    assert find_resets(np.full(500, 7.0)) is None


def twice_a_day(age: float) -> Sawtooth:
    return Sawtooth(drops=np.full(20, 5.0), gaps=np.full(19, 12.0), age=age)


def share_reset_within(sawtooth: Sawtooth, hours: int) -> float:
    falls = sawtooth.ahead(400, 24, np.random.default_rng(1))
    assert falls.shape == (400, 24)
    assert set(np.unique(falls)) <= {0.0, 5.0}
    return float((falls[:, :hours].sum(axis=1) > 0).mean())


def test_a_reset_is_far_off_after_the_last_one_and_near_when_it_is_due() -> None:
    assert share_reset_within(twice_a_day(1.0), 8) == 0
    assert share_reset_within(twice_a_day(1.0), 14) == 1
    assert share_reset_within(twice_a_day(10.0), 5) > 0.95


def test_an_overdue_reset_may_come_at_any_time() -> None:
    assert 0.2 < share_reset_within(twice_a_day(30.0), 6) < 0.6


def test_a_reset_within_the_last_hour_is_seen_by_the_level() -> None:
    values = teeth(12, since=11)
    found = find_resets(values)
    assert found is not None
    assert found.at_present(values, values[-1] + 0.4, 0.5).age == found.age + 0.5
    assert found.at_present(values, values[-1] - 9.0, 0.5).age == 0.5
