"""Computes margins and exact SHAP values of boosters from flat arrays: tens of microseconds per row, without XGBoost.

The SHAP values of a leaf depend only on which features on its path point towards the leaf. With at most six features on
a path there are at most 64 such patterns, so all values are computed once and then looked up.

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
from typing import Any, NamedTuple

import numba
import numpy as np
import xgboost as xgb

from core.arrays import BoolArray, Float32Array, FloatArray, IntArray

#: Rows that are processed together. The comparisons of a leaf for all of them become vector instructions, and their
#: features and sums fit into the cache of a core.
BLOCK = 32


class Leaves(NamedTuple):
    """The conditions that lead to each leaf of some trees.

    Paths are padded to the length of the longest with features that always point to the leaf.

    Attributes:
        feature: (leaves, depth), column of each feature on the path.
        low, high: (leaves, depth), the feature points to the leaf if low <= x < high.
        missing: (leaves, depth), whether it points to the leaf if x is missing.
    """

    feature: IntArray
    low: Float32Array
    high: Float32Array
    missing: BoolArray


@numba.njit(cache=True, nogil=True)
def _add_leaves(x: Float32Array, all_leaves: Leaves, value: FloatArray, margins: FloatArray) -> None:
    """Add the value of each leaf that a row reaches to the margin of the row."""
    feature, low, high, missing = all_leaves
    leaves, depth = feature.shape
    for row in range(len(x)):
        for leaf in range(leaves):
            for place in range(depth):
                at = x[row, feature[leaf, place]]
                if not (missing[leaf, place] if np.isnan(at) else low[leaf, place] <= at < high[leaf, place]):
                    break
            else:
                margins[row] += value[leaf]


@numba.njit(cache=True, nogil=True)
def _add_shares(x: Float32Array, all_leaves: Leaves, shares: FloatArray, contributions: FloatArray) -> None:
    """Add the SHAP values of every leaf to the contributions of each row."""
    feature, low, high, missing = all_leaves
    leaves, depth = feature.shape
    patterns = 1 << depth
    size = max(1, min(BLOCK, len(x)))
    pattern = np.empty(size, dtype=np.int64)
    columns = np.empty((x.shape[1], size), dtype=np.float32)
    sums = np.empty((x.shape[1], size))
    for first in range(0, len(x), size):
        rows = min(size, len(x) - first)
        columns[:, :rows] = x[first : first + rows].T
        sums[:] = 0.0
        for leaf in range(leaves):
            pattern[:] = leaf * patterns
            for place in range(depth):
                at, bit = columns[feature[leaf, place]], 1 << place
                start, end, unknown = low[leaf, place], high[leaf, place], missing[leaf, place]
                for row in range(rows):
                    # Without a branch. Only NaN differs from itself.
                    points = ((start <= at[row]) & (at[row] < end)) | (unknown & (at[row] != at[row]))
                    pattern[row] += bit * points
            for place in range(depth):
                into = sums[feature[leaf, place]]
                for row in range(rows):
                    into[row] += shares[pattern[row], place]
        contributions[first : first + rows, : x.shape[1]] += sums[:, :rows].T


@dataclass(frozen=True)
class FlatTrees:
    """All leaves of some boosters; their values add up to the mean margin of the boosters.

    Attributes:
        columns: number of features of a row.
        leaves: the conditions of each leaf.
        value: (leaves,), what the leaf adds to the margin.
        shares: (leaves * patterns, depth), SHAP values by leaf and pattern.
        base: margin without trees.
        bias: margin that SHAP values start from: the mean over the training rows.
    """

    columns: int
    leaves: Leaves
    value: FloatArray
    shares: FloatArray
    base: float
    bias: float

    def margins(self, x: Float32Array) -> FloatArray:
        """The margin of each row as the boosters compute it, summed in double precision; `x` is (rows, features)."""
        margins = np.full(len(x), self.base)
        _add_leaves(_rows(x), self.leaves, self.value, margins)
        return margins

    def contributions(self, x: Float32Array) -> FloatArray:
        """SHAP values, (rows, columns + 1), the bias last; each row adds up to its margin."""
        out = np.zeros((len(x), self.columns + 1))
        out[:, -1] = self.bias
        _add_shares(_rows(x), self.leaves, self.shares, out)
        return out


def _rows(x: Float32Array) -> Float32Array:
    return np.ascontiguousarray(x, dtype=np.float32)


def flatten(boosters: Sequence[xgb.Booster], columns: int) -> FlatTrees:
    """Flatten boosters whose mean margin counts, and compute all their SHAP values.

    Args:
        boosters: at least one.
        columns: number of features.
    """
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
        for place, (column, condition) in enumerate(path.items()):
            feature[row, place] = column
            low[row, place], high[row, place] = condition.low, condition.high
            missing[row, place], cover[row, place] = condition.missing, condition.cover
    value = np.array([value for _, value in leaves])
    conditions = Leaves(feature, low, high, missing)
    draft = FlatTrees(columns, conditions, value, np.empty((0, depth)), 0.0, 0.0)
    probe = np.zeros((1, columns), dtype=np.float32)
    margins = [float(booster.inplace_predict(probe, predict_type="margin")[0]) for booster in boosters]
    base = float(np.mean(margins)) - float(draft.margins(probe)[0])
    bias = base + float(np.sum(value * cover.prod(axis=1)))
    shares = _shares(cover, value).reshape(-1, depth)
    return FlatTrees(columns, conditions, value, shares, base, bias)


@dataclass(slots=True)
class _Condition:
    """The condition of a path on one feature, and the share of the training rows that met it at the splits."""

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True
    cover: float = 1.0


def _leaves(tree: dict[str, Any]) -> list[tuple[dict[int, _Condition], float]]:
    found = []
    left, right, cover = tree["left_children"], tree["right_children"], tree["sum_hessian"]
    stack: list[tuple[int, dict[int, _Condition]]] = [(0, {})]
    while stack:
        node, path = stack.pop()
        if left[node] < 0:
            found.append((path, float(np.float32(tree["split_conditions"][node]))))
            continue
        column, threshold = tree["split_indices"][node], float(np.float32(tree["split_conditions"][node]))
        for child, is_left in ((left[node], True), (right[node], False)):
            before = path.get(column, _Condition())
            taken = _Condition(
                before.low if is_left else max(before.low, threshold),
                min(before.high, threshold) if is_left else before.high,
                before.missing and bool(tree["default_left"][node]) == is_left,
                before.cover * cover[child] / cover[node],
            )
            stack.append((child, {**path, column: taken}))
    return found


def _shares(cover: FloatArray, value: FloatArray) -> FloatArray:
    """SHAP values (leaves, patterns, depth), by enumeration of the coalitions along each path.

    If the features of a coalition S are known, the probability of reaching a leaf is the product of [points to the
    leaf] over S and of the cover shares over the other features. The Shapley value weighs how much one feature changes
    this probability.
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
