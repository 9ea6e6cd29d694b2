"""Runs to failure: conditions found from the settings, and features that look only back."""

import numpy as np
import pytest

from features.runs import fit_conditions, run_features

RNG = np.random.default_rng(5)
PLACES = np.array([[0.0, 0.0, 100.0], [10.0, 0.25, 100.0], [20.0, 0.7, 100.0], [25.0, 0.62, 60.0]])


def flights(rows: int = 1200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Settings that jump between four places, and sensors that shift with the place around a common wear."""
    place = RNG.integers(0, len(PLACES), rows)
    settings = PLACES[place] + RNG.normal(0, 0.002, (rows, 3))
    wear = np.linspace(0, 1, rows)
    sensors = np.column_stack([500 + 40 * place + wear, 5 * place - 0.2 * wear, np.full(rows, 7.0)])
    sensors[:, :2] += RNG.normal(0, 0.05, (rows, 2))
    return settings, sensors, wear


def test_conditions_are_found_from_the_settings() -> None:
    settings, sensors, _ = flights()
    assert len(fit_conditions(settings, sensors, 0).centers) == len(PLACES)


def test_conditions_near_each_other_are_told_apart() -> None:
    places = np.vstack([PLACES, [[35.0, 0.84, 100.0], [42.0, 0.84, 100.0]]])
    settings = places[RNG.integers(0, 6, 1500)] + RNG.normal(0, 0.002, (1500, 3))
    assert len(fit_conditions(settings, RNG.normal(size=(1500, 2)), 0).centers) == len(places)


def test_settings_that_only_jitter_are_one_condition() -> None:
    settings = RNG.normal(0, 0.002, (800, 3)) + PLACES[0]
    assert len(fit_conditions(settings, RNG.normal(size=(800, 4)), 0).centers) == 1


def test_settings_that_stand_still_are_one_condition() -> None:
    assert len(fit_conditions(np.zeros((50, 3)), RNG.normal(size=(50, 4)), 0).centers) == 1


def test_wear_shows_once_the_condition_is_taken_away() -> None:
    settings, sensors, wear = flights()
    normal = fit_conditions(settings, sensors, 0).normalised(settings, sensors)
    assert normal.shape[1] == 2  # the sensor that stands still is left out
    assert np.corrcoef(normal[:, 0], wear)[0, 1] > 0.9
    assert abs(np.corrcoef(sensors[:, 0], wear)[0, 1]) < 0.2


def test_features_of_a_cycle_do_not_change_when_later_cycles_do() -> None:
    units = np.repeat([1, 2], 60)
    cycles = np.tile(np.arange(1.0, 61.0), 2)
    sensors = RNG.normal(size=(120, 3))
    changed = sensors.copy()
    changed[40:60] += 100
    before, names = run_features(units, cycles, sensors)
    after, _ = run_features(units, cycles, changed)
    assert before[:40] == pytest.approx(after[:40], nan_ok=True)
    assert before[60:] == pytest.approx(after[60:], nan_ok=True)
    assert before.shape == (120, len(names))
