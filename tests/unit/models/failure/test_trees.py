"""Flat trees: the same margins and SHAP values as XGBoost, whatever is missing."""

import numpy as np
import pytest
import xgboost as xgb

from models.failure.learning import CLASSIFIER, train
from models.failure.trees import BLOCK, flatten


@pytest.fixture(scope="module", params=[1, 3, 6])
def fitted(request: pytest.FixtureRequest) -> tuple[xgb.Booster, np.ndarray]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(800, 9)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) * np.nan_to_num(x[:, 2]) > 0.5).astype(float)
    params = {**CLASSIFIER, "max_depth": request.param, "rounds": 25}
    return train(x, y, params, seed=1), x


def test_margins_are_those_of_the_booster(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    expected = booster.inplace_predict(x, predict_type="margin")
    assert flatten([booster], 9).margins(x) == pytest.approx(expected, abs=1e-5)


def test_contributions_are_the_shap_values_of_the_booster(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    expected = booster.predict(xgb.DMatrix(x), pred_contribs=True)
    assert flatten([booster], 9).contributions(x) == pytest.approx(expected, abs=1e-4)


def test_contributions_add_up_to_the_margin(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    trees = flatten([booster], 9)
    assert trees.contributions(x).sum(axis=1) == pytest.approx(trees.margins(x), abs=1e-8)


def test_a_row_on_a_split_goes_where_the_booster_sends_it(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    trees = flatten([booster], 9)
    edges = trees.leaves.low[np.isfinite(trees.leaves.low)]
    rows = np.tile(x[:1], (len(edges), 1))
    rows[np.arange(len(edges)), trees.leaves.feature[np.isfinite(trees.leaves.low)]] = edges
    assert trees.margins(rows) == pytest.approx(
        booster.inplace_predict(rows, predict_type="margin"), abs=1e-5
    )


def test_several_boosters_count_by_their_mean(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    other = train(x, (np.nan_to_num(x[:, 3]) > 0).astype(float), {**CLASSIFIER, "rounds": 10}, seed=2)
    both = flatten([booster, other], 9)
    expected = np.mean([one.inplace_predict(x, predict_type="margin") for one in (booster, other)], axis=0)
    shap = np.mean([one.predict(xgb.DMatrix(x), pred_contribs=True) for one in (booster, other)], axis=0)
    assert both.margins(x) == pytest.approx(expected, abs=1e-5)
    assert both.contributions(x) == pytest.approx(shap, abs=1e-4)


def test_no_rows_give_no_margins(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    assert flatten([fitted[0]], 9).margins(np.empty((0, 9), dtype=np.float32)).shape == (0,)


def test_a_row_is_explained_alike_whatever_stands_beside_it(fitted: tuple[xgb.Booster, np.ndarray]) -> None:
    booster, x = fitted
    trees = flatten([booster], 9)
    whole = trees.contributions(x)
    for first, rows in ((0, 1), (5, BLOCK - 1), (7, BLOCK), (11, 2 * BLOCK + 3)):
        assert np.array_equal(trees.contributions(x[first : first + rows]), whole[first : first + rows])
    assert trees.contributions(x[:0]).shape == (0, 10)
