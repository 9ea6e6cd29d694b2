"""All folds decide how rare failures are balanced; luck on one of them does not."""

import numpy as np
import pytest

from models.failure.balance import CANDIDATES, choose_candidate, simplest
from models.failure.learning import time_folds


@pytest.mark.parametrize(
    ("found", "index"),
    [
        pytest.param([[0.80, 0.82, 0.81], [0.80, 0.82, 0.81]], 0, id="alike"),
        pytest.param([[0.80, 0.82, 0.81], [0.90, 0.79, 0.80]], 0, id="lucky once"),
        pytest.param([[0.80, 0.82, 0.81], [0.83, 0.86, 0.84]], 1, id="better in each"),
        pytest.param([[0.70, 0.72, 0.71], [0.80, 0.82, 0.80], [0.81, 0.82, 0.805]], 2, id="a little in each"),
        pytest.param([[0.80], [0.81]], 1, id="one fold"),
    ],
)
def test_the_simplest_is_kept_unless_another_is_clearly_better(found: list[list[float]], index: int) -> None:
    assert simplest(np.array(found)) == index


def test_every_candidate_is_tried_on_all_folds_and_the_record_is_in_order() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1_500, 4)).astype(np.float32)
    y = (x[:, 0] + rng.normal(0, 0.5, 1_500) > 1.8).astype(np.float64)
    folds = time_folds(np.arange(1_500, dtype=np.float64), 3, 10.0)
    chosen, trials = choose_candidate(x, y, folds, seed=1, count=3, workers=2)
    assert chosen in CANDIDATES[:3]
    assert {trial.candidate.balance for trial in trials} == {"none", "weights", "smote"}
    precisions = [trial.average_precision for trial in trials]
    assert precisions == sorted(precisions, reverse=True)
    assert all(y.mean() < one <= 1.0 for one in precisions)


def test_without_failures_nothing_is_tried() -> None:
    x = np.zeros((300, 2), dtype=np.float32)
    folds = time_folds(np.arange(300, dtype=np.float64), 3, 1.0)
    assert choose_candidate(x, np.zeros(300), folds, seed=1, count=3, workers=1) == (CANDIDATES[0], ())
