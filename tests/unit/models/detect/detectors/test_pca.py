"""What common movement explains is usual; what it does not is strange, and the metrics to blame are named."""

import numpy as np
import pytest
from sklearn import decomposition

from models.detect.detectors.pca import FittedPca, Pca

METRICS = 8
LOAD = np.linspace(0.8, 1.2, METRICS)


def service(rows: int, seed: int) -> np.ndarray:
    """Metrics that follow one load, each with noise of its own; (rows, METRICS)."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=rows)
    return 10 + np.outer(load, LOAD) + rng.normal(0, 0.2, (rows, METRICS))


@pytest.fixture(scope="module")
def fitted() -> FittedPca:
    return Pca().fit(service(2000, 1))


def test_the_usual_is_below_one_and_common_movement_is_usual(fitted: FittedPca) -> None:
    rows = service(500, 2)
    assert 0.5 < fitted.score(rows).mean() < 1.0
    rows[250:] += 2.0 * LOAD  # a busy hour
    assert fitted.score(rows)[260:].mean() < 1.1


def test_a_metric_that_leaves_the_others_is_strange_and_named(fitted: FittedPca) -> None:
    rows = service(500, 3)
    rows[300:320, 5] += 2.0
    scores = fitted.score(rows)
    assert scores[305:320].min() > 1.5 * scores[:300].max()
    shares = fitted.shares(rows)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (shares[305:320].argmax(axis=1) == 5).all()


def test_several_that_stray_count_for_more_than_one_far_out(fitted: FittedPca) -> None:
    one, several = service(60, 4), service(60, 4)
    one[30, 2] += 3.0
    several[30, ::2] += 1.5 * np.array([1, -1, 1, -1])  # the same sum of squares, in four metrics
    assert fitted.score(several)[30] > 1.15 * fitted.score(one)[30]


def test_a_missing_metric_is_as_usual_and_an_empty_row_has_no_score(fitted: FittedPca) -> None:
    rows = service(50, 5)
    rows[20, 3] = np.nan
    rows[30] = np.nan
    scores = fitted.score(rows)
    assert np.isnan(scores[30])
    assert np.isfinite(np.delete(scores, 30)).all()


def test_the_components_are_those_of_scikit_learn(fitted: FittedPca) -> None:
    history = service(2000, 1)
    z = (history - fitted.center) / fitted.spread
    theirs = decomposition.PCA(n_components=len(fitted.components)).fit(z).components_
    np.testing.assert_allclose(np.abs(theirs @ fitted.components.T), np.eye(len(theirs)), atol=1e-6)
