"""Boosters as flat arrays: margins and exact SHAP values of one row in tens of microseconds, without XGBoost.

For every leaf, a SHAP value depends only on which of the features on its path point towards it. With at most six
features on a path those are at most 64 patterns, so all values are worked out once and looked up afterwards.

References:
    Lundberg, S. M., et al. (2020). From local explanations to global understanding with explainable AI for trees.
    Nature Machine Intelligence 2.
    Yang, J. (2021). Fast TreeSHAP: accelerating SHAP value computation for trees. arXiv:2109.09847 (version 2).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numba
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def _add_up(
    x: NDArray[np.float32],
    feature: NDArray[np.int64],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    missing: NDArray[np.bool_],
    value: Floats,
    shares: Floats,
    contributions: Floats,
    margins: Floats,
) -> None:
    """Adds every leaf to the margin of each row and, where `contributions` has rows, its SHAP values to those."""
    leaves, depth = feature.shape
    patterns = 1 << depth
    explain = len(contributions) > 0
    for row in range(len(x)):
        for leaf in range(leaves):
            pattern = 0
            for place in range(depth):
                at = x[row, feature[leaf, place]]
                if missing[leaf, place] if np.isnan(at) else low[leaf, place] <= at < high[leaf, place]:
                    pattern |= 1 << place
                elif not explain:
                    break
            if pattern == patterns - 1:
                margins[row] += value[leaf]
            if explain:
                for place in range(depth):
                    contributions[row, feature[leaf, place]] += shares[leaf * patterns + pattern, place]


@dataclass(frozen=True)
class FlatTrees:
    """All leaves of some boosters, adding up to the mean of their margins.

    A path's features are padded to the longest by ones that always point to the leaf.

    Attributes:
        feature: (leaves, depth) column of each feature on the path.
        low, high: (leaves, depth) the feature points to the leaf where low <= x < high.
        missing: (leaves, depth) whether it does where x is missing.
        value: (leaves,) what the leaf adds to the margin.
        shares: (leaves * patterns, depth) SHAP values by leaf and pattern.
        base: margin without trees.
        bias: margin that SHAP values start from: the mean over the rows that were learned from.
    """

    columns: int
    feature: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    missing: NDArray[np.bool_]
    value: Floats
    shares: Floats
    base: float
    bias: float

    def margins(self, x: NDArray[np.float32]) -> Floats:
        """Margin of each row, as the boosters themselves give it (sums in double precision)."""
        return self._added(x, np.empty((0, self.columns)))

    def contributions(self, x: NDArray[np.float32]) -> Floats:
        """(rows, columns + 1): SHAP values, the bias last; a row adds up to its margin."""
        out = np.zeros((len(x), self.columns + 1))
        self._added(x, out)
        out[:, -1] = self.bias
        return out

    def _added(self, x: NDArray[np.float32], contributions: Floats) -> Floats:
        margins = np.full(len(x), self.base)
        _add_up(
            np.ascontiguousarray(x, dtype=np.float32),
            self.feature,
            self.low,
            self.high,
            self.missing,
            self.value,
            self.shares,
            contributions,
            margins,
        )
        return margins


def flatten(boosters: Sequence[xgb.Booster], columns: int) -> FlatTrees:
    """The leaves of the boosters with all their SHAP values, for the mean of the boosters' margins."""
    leaves = [
        (path, value / len(boosters))
        for booster in boosters
        for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
        for path, value in _leaves(tree)
    ]
    depth = max(1, max(len(path) for path, _ in leaves))
    shape = (len(leaves), depth)
    feature = np.zeros(shape, dtype=np.int64)
    low, high = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
    missing, cover = np.ones(shape, dtype=bool), np.ones(shape)
    for row, (path, _) in enumerate(leaves):
        for place, (column, edge) in enumerate(path.items()):
            feature[row, place] = column
            low[row, place], high[row, place] = edge.low, edge.high
            missing[row, place], cover[row, place] = edge.missing, edge.cover
    value = np.array([value for _, value in leaves])
    draft = FlatTrees(columns, feature, low, high, missing, value, np.empty((0, depth)), 0.0, 0.0)
    probe = np.zeros((1, columns), dtype=np.float32)
    said = [float(booster.inplace_predict(probe, predict_type="margin")[0]) for booster in boosters]
    base = float(np.mean(said)) - float(draft.margins(probe)[0])
    bias = base + float(np.sum(value * cover.prod(axis=1)))
    shares = _shares(cover, value).reshape(-1, depth)
    return FlatTrees(columns, feature, low, high, missing, value, shares, base, bias)


@dataclass(slots=True)
class _Edge:
    """What a path asks of one feature, and the share of rows that went along at its splits."""

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True
    cover: float = 1.0


def _leaves(tree: dict[str, Any]) -> list[tuple[dict[int, _Edge], float]]:
    found = []
    left, right, cover = tree["left_children"], tree["right_children"], tree["sum_hessian"]
    stack: list[tuple[int, dict[int, _Edge]]] = [(0, {})]
    while stack:
        node, path = stack.pop()
        if left[node] < 0:
            found.append((path, float(np.float32(tree["split_conditions"][node]))))
            continue
        column, threshold = tree["split_indices"][node], float(np.float32(tree["split_conditions"][node]))
        for child, is_left in ((left[node], True), (right[node], False)):
            edge = path.get(column, _Edge())
            taken = _Edge(
                edge.low if is_left else max(edge.low, threshold),
                min(edge.high, threshold) if is_left else edge.high,
                edge.missing and bool(tree["default_left"][node]) == is_left,
                edge.cover * cover[child] / cover[node],
            )
            stack.append((child, {**path, column: taken}))
    return found


def _shares(cover: Floats, value: Floats) -> Floats:
    """(leaves, patterns, depth): SHAP values, by enumeration of the coalitions along each path.

    With a coalition S of the path's features known, a leaf is reached with the product of [points here] over S and of
    the cover shares over the others; the Shapley value weighs what one feature changes in that.
    """
    leaves, depth = cover.shape
    out = np.zeros((leaves, 1 << depth, depth))
    for one in range(depth):
        others = [place for place in range(depth) if place != one]
        for size in range(depth):
            weight = factorial(size) * factorial(depth - size - 1) / factorial(depth)
            for known in combinations(others, size):
                bits = sum(1 << place for place in known)
                unknown = [place for place in others if place not in known]
                share = weight * value * cover[:, unknown].prod(axis=1)
                for pattern in range(1 << depth):
                    if pattern & bits == bits:
                        points = 1.0 if pattern >> one & 1 else 0.0
                        out[:, pattern, one] += share * (points - cover[:, one])
    return out
