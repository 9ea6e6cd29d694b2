"""The compiled forest is scikit-learn's forest."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Forest

from models.detect.detectors.isolation_forest import IsolationForest, from_sklearn


@pytest.mark.parametrize("metrics", [1, 3, 12])
def test_scores_equal_those_of_scikit_learn(metrics: int) -> None:
    rng = np.random.default_rng(metrics)
    train, test = rng.normal(size=(500, metrics)), rng.normal(size=(300, metrics)) * 2
    forest = Forest(n_estimators=50, random_state=0).fit(train)
    ours = from_sklearn(forest, np.zeros(metrics))
    np.testing.assert_allclose(ours.score(test), -forest.score_samples(test), rtol=0, atol=1e-12)


def test_a_missing_metric_counts_as_usual() -> None:
    rng = np.random.default_rng(1)
    fitted = IsolationForest().fit(rng.normal(size=(500, 3)))
    usual = np.array([[0.0, np.nan, 0.0], [9.0, np.nan, 0.0], [np.nan, np.nan, np.nan]])
    scores = fitted.score(usual)
    assert scores[1] > scores[0]
    assert np.isnan(scores[2])
