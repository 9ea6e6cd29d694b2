"""Boosters that share bins are equal to boosters with bins of their own."""

import numpy as np
import pytest

from models.failure.binned import Binned
from models.failure.learning import CLASSIFIER, Member, Training, fit_horizons, margin, time_folds

ROWS = 600
BINS = 64


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(ROWS, 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def outcome(x: np.ndarray, column: int) -> np.ndarray:
    happened: np.ndarray = np.nan_to_num(x[:, column]) > 0.8
    return happened.astype(np.float64)


def test_shared_bins_give_the_same_booster_as_own_bins(x: np.ndarray) -> None:
    shared = Binned(x, max_bin=BINS)
    shared.learn(outcome(x, 0), CLASSIFIER, seed=1, balance=lambda _, y: (x[:0], np.where(y > 0, 9.0, 1.0)))
    second = shared.learn(outcome(x, 1), CLASSIFIER, seed=2)
    alone = Binned(x, max_bin=BINS).learn(outcome(x, 1), CLASSIFIER, seed=2)
    assert np.array_equal(margin([second], x), margin([alone], x))


def test_a_row_without_a_known_outcome_has_no_influence(x: np.ndarray) -> None:
    y = outcome(x, 0)
    wrong, silent = y.copy(), y.copy()
    wrong[:200], silent[:200] = 1 - y[:200], np.nan
    fitted = {
        name: Binned(x, max_bin=BINS).learn(labels, CLASSIFIER, seed=1)
        for name, labels in {"right": y, "wrong": wrong, "silent": silent}.items()
    }
    right = {name: np.mean((margin([one], x) > 0) == (y > 0)) for name, one in fitted.items()}
    assert right["silent"] == pytest.approx(right["right"], abs=0.02)
    assert right["wrong"] < right["silent"] - 0.1


def test_an_unused_column_is_not_split_on(x: np.ndarray) -> None:
    columns = np.array([False, True, True, True, True])
    booster = Binned(x, max_bin=BINS, columns=columns).learn(outcome(x, 0), CLASSIFIER, seed=1)
    assert "f0" not in booster.get_score()


def test_rows_that_balance_makes_are_learned_as_failures(x: np.ndarray) -> None:
    y = outcome(x, 0)
    made = np.tile(np.array([-3, 0, 0, 0, 0], dtype=np.float32), (200, 1))
    booster = Binned(x, max_bin=BINS).learn(y, CLASSIFIER, seed=1, balance=lambda *_: (made, None))
    plain = Binned(x, max_bin=BINS).learn(y, CLASSIFIER, seed=1)
    assert margin([booster], made[:1])[0] > 0 > margin([plain], made[:1])[0]


def test_horizons_learned_together_are_those_learned_one_by_one(x: np.ndarray) -> None:
    folds = time_folds(np.arange(ROWS, dtype=np.float64), 3, 5.0)
    late = outcome(x, 1)
    late[-50:] = np.nan
    seen = np.array([True, True, False, True, True])
    horizons = [
        [Member(outcome(x, 0)), Member(late, seen)],
        [Member(late, seen), Member(outcome(x, 0), seen)],
    ]
    together = fit_horizons(x, horizons, Training(folds=folds, seed=4, workers=2))
    for members, fitted in zip(horizons, together, strict=True):
        [alone] = fit_horizons(x, [members], Training(folds=folds, seed=4, workers=1))
        assert len(fitted.boosters) == 2
        assert np.array_equal(fitted.held_out, alone.held_out, equal_nan=True)
        assert np.array_equal(margin(fitted.boosters, x), margin(alone.boosters, x))
