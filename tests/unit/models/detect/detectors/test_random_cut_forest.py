"""The trees stay trees while rows come and go, and a row in the wrong place is displaced most."""

import numpy as np
import pytest

from models.detect.detectors.random_cut_forest import SIZE, FittedRandomCutForest, RandomCutForest


def check_tree(forest: FittedRandomCutForest, tree: int) -> int:
    """Walk a tree, hold every promise of its nodes, and return how many rows it has."""
    trees = forest.trees
    nodes, low, high = trees.nodes[tree], trees.low[tree], trees.high[tree]

    def walk(node: int, parent: int) -> int:
        above, left, right, cut, count = nodes[node]
        assert above == parent
        if cut == -1:
            assert count == 1
            return 1
        assert (low[node] == np.minimum(low[left], low[right])).all()
        assert (high[node] == np.maximum(high[left], high[right])).all()
        assert high[left][cut] <= trees.cuts[tree][node] <= low[right][cut] or (low[node] == high[node]).any()
        assert walk(left, node) + walk(right, node) == count
        return int(count)

    return walk(int(trees.roots[tree]), -1)


@pytest.mark.parametrize("digits", [0, 8])
def test_trees_hold_the_last_rows_whatever_comes(digits: int) -> None:
    rng = np.random.default_rng(1)
    fitted = RandomCutForest().fit(np.round(rng.normal(size=100), digits))
    assert check_tree(fitted, 0) == 100
    for _ in range(5):
        fitted = fitted.update(np.round(rng.normal(size=90), digits))
        assert {check_tree(fitted, tree) for tree in range(5)} == {min(SIZE, int(fitted.state[0]))}


def test_it_gets_used_to_a_new_level() -> None:
    rng = np.random.default_rng(2)
    fitted = RandomCutForest().fit(rng.normal(size=500))
    scores = fitted.score(20 + rng.normal(size=400))
    assert scores[:3].max() > 5 * np.median(scores[300:])
