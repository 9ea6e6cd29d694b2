"""Random Cut Forest: how much a row changes trees of random cuts through the last rows. It learns while it scores.

Each tree holds the last rows as a binary tree of random cuts. A new row is inserted and scored by the part of the tree
that it pushes down (its collusive displacement). Then the oldest row is removed, so that memory stays the same.

References:
    Guha et al. (2016), Robust random cut forest based anomaly detection on streams, ICML.
    Bartos, Mullapudi and Troutman (2019), rrcf: implementation of the robust random cut forest, JOSS 4.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatArray
from models.detect.detectors.embedding import rows_of, scale_rows, scaling
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import bounded

TREES, SIZE, WINDOW = 30, 128, 4
NONE = -1
#: Columns of a node: parent, left child, right child, the dimension of the cut (a leaf: NONE), number of rows below.
_PARENT, _LEFT, _RIGHT, _CUT, _COUNT = 0, 1, 2, 3, 4


class Trees(NamedTuple):
    """Trees as arrays; the first axis of each is the tree. One tree is the same without that axis, but for its root.

    Attributes:
        nodes: links and count of each node, (trees, nodes, 5).
        cuts: where a node cuts, (trees, nodes).
        low, high: the box of the rows below a node, (trees, nodes, dimensions).
        roots: the node without a parent, (trees,).
    """

    nodes: NDArray[np.int32]
    cuts: FloatArray
    low: FloatArray
    high: FloatArray
    roots: NDArray[np.int32]

    def copy(self) -> "Trees":
        return Trees(**{name: array.copy() for name, array in self._asdict().items()})


@numba.njit(cache=True, nogil=True)
def _tree(trees: Trees, at: int) -> Trees:
    return Trees(trees.nodes[at], trees.cuts[at], trees.low[at], trees.high[at], trees.roots[at : at + 1])


@numba.njit(cache=True, nogil=True)
def _random(seed: NDArray[np.uint64]) -> float:
    """The next random number in [0, 1), by splitmix64: the same history gives the same trees."""
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    z = seed[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 9007199254740992.0


@numba.njit(cache=True, nogil=True)
def _shrink(tree: Trees, node: int) -> None:
    """Compute bounding boxes and counts anew from `node` up to the root."""
    nodes, _, low, high, _ = tree
    while node != NONE:
        left, right = nodes[node, _LEFT], nodes[node, _RIGHT]
        nodes[node, _COUNT] = nodes[left, _COUNT] + nodes[right, _COUNT]
        for k in range(low.shape[1]):
            low[node, k] = min(low[left, k], low[right, k])
            high[node, k] = max(high[left, k], high[right, k])
        node = nodes[node, _PARENT]


@numba.njit(cache=True, nogil=True)
def _remove(tree: Trees, leaf: int) -> int:
    """Remove a leaf. Its sibling replaces their parent, which is returned: it is free again."""
    nodes, root = tree.nodes, tree.roots
    parent = nodes[leaf, _PARENT]
    if parent == NONE:
        root[0] = NONE
        return NONE
    sibling = nodes[parent, _RIGHT] if nodes[parent, _LEFT] == leaf else nodes[parent, _LEFT]
    above = nodes[parent, _PARENT]
    nodes[sibling, _PARENT] = above
    if above == NONE:
        root[0] = sibling
    elif nodes[above, _LEFT] == parent:
        nodes[above, _LEFT] = sibling
    else:
        nodes[above, _RIGHT] = sibling
    _shrink(tree, above)
    return int(parent)


@numba.njit(cache=True, nogil=True)
def _cut(tree: Trees, row: FloatArray, seed: NDArray[np.uint64]) -> tuple[int, int, float, bool]:
    """Draw the random cut that separates a row from the rows of the tree (Guha, algorithm 2).

    Returns:
        The node to cut above, the dimension and the place of the cut, and whether the cut lies between the row and the
        box of the node. It does not if the row equals the leaf that was reached.
    """
    nodes, cuts, low, high, root = tree
    dims, node = row.size, root[0]
    while True:
        span = 0.0
        for k in range(dims):
            span += max(high[node, k], row[k]) - min(low[node, k], row[k])
        drawn = _random(seed) * span
        cut, at = dims - 1, 0.0
        for k in range(dims):
            width = max(high[node, k], row[k]) - min(low[node, k], row[k])
            if drawn <= width:
                cut, at = k, min(low[node, k], row[k]) + drawn
                break
            drawn -= width
        outside = row[cut] <= at < low[node, cut] or high[node, cut] <= at < row[cut]
        if outside or nodes[node, _CUT] == NONE:
            return node, cut, at, outside
        node = nodes[node, _LEFT] if row[nodes[node, _CUT]] <= cuts[node] else nodes[node, _RIGHT]


@numba.njit(cache=True, nogil=True)
def _insert(tree: Trees, leaf: int, free: int, row: FloatArray, seed: NDArray[np.uint64]) -> None:
    """Insert a row as `leaf`; `free` becomes the node of the cut above it."""
    nodes, cuts, low, high, root = tree
    for k in range(row.size):
        low[leaf, k] = high[leaf, k] = row[k]
    nodes[leaf, _LEFT] = nodes[leaf, _RIGHT] = nodes[leaf, _CUT] = NONE
    nodes[leaf, _COUNT] = 1
    if root[0] == NONE:
        nodes[leaf, _PARENT] = NONE
        root[0] = leaf
        return
    node, cut, at, outside = _cut(tree, row, seed)
    above = nodes[node, _PARENT]
    left_first = row[cut] <= at
    if not outside:  # the leaf equals the row, so that no cut lies between them
        left_first = True
    nodes[free, _PARENT], nodes[free, _CUT], cuts[free] = above, cut, at
    nodes[free, _LEFT] = leaf if left_first else node
    nodes[free, _RIGHT] = node if left_first else leaf
    if above == NONE:
        root[0] = free
    elif nodes[above, _LEFT] == node:
        nodes[above, _LEFT] = free
    else:
        nodes[above, _RIGHT] = free
    nodes[node, _PARENT] = nodes[leaf, _PARENT] = free
    _shrink(tree, free)


@numba.njit(cache=True, nogil=True)
def _displacement(nodes: NDArray[np.int32], leaf: int) -> float:
    """CoDisp: the largest ratio, from the leaf to the root, of rows beside a node to rows below it."""
    most, node = 0.0, leaf
    while nodes[node, _PARENT] != NONE:
        parent = nodes[node, _PARENT]
        sibling = nodes[parent, _RIGHT] if nodes[parent, _LEFT] == node else nodes[parent, _LEFT]
        most = max(most, nodes[sibling, _COUNT] / nodes[node, _COUNT])
        node = parent
    return most


@numba.njit(cache=True, nogil=True)
def _run(trees: Trees, state: NDArray[np.int64], seed: NDArray[np.uint64], rows: FloatArray) -> FloatArray:
    """Insert and score each row in its order; changes everything but the rows."""
    out = np.full(rows.shape[0], np.nan)
    number, size = trees.nodes.shape[0], trees.nodes.shape[1] // 2
    for i in range(rows.shape[0]):
        if np.isnan(rows[i, 0]):
            continue
        total = 0.0
        leaf = state[0] % size  # the new row gets the leaf of the oldest row
        for t in range(number):
            tree = _tree(trees, t)
            freed = size + leaf
            if state[0] >= size:
                freed = _remove(tree, leaf)
            _insert(tree, leaf, freed, rows[i], seed)
            total += _displacement(tree.nodes, leaf)
        state[0] += 1
        out[i] = total / number
    return out


@dataclass(frozen=True, slots=True, eq=False)
class FittedRandomCutForest:
    """The trees so far.

    Attributes:
        trees: over the last rows.
        state: number of rows so far. seed: state of the random numbers.
        center, spread: of each column. recent: the last values, for the next windows.
    """

    trees: Trees
    state: NDArray[np.int64]
    seed: NDArray[np.uint64]
    center: FloatArray
    spread: FloatArray
    recent: FloatArray

    def _go_on(self, values: FloatArray) -> tuple[FloatArray, "FittedRandomCutForest"]:
        rows = scale_rows(rows_of(values, WINDOW, self.recent), self.center, self.spread)
        if values.ndim == 2:
            empty = np.asarray(np.isnan(rows).all(axis=1))
            rows = np.where(empty[:, None], np.nan, np.nan_to_num(rows))
        after = FittedRandomCutForest(
            trees=self.trees.copy(),
            state=self.state.copy(),
            seed=self.seed.copy(),
            center=self.center,
            spread=self.spread,
            recent=self._recent_with(values),
        )
        scores = _run(after.trees, after.state, after.seed, np.ascontiguousarray(rows))
        return scores, after

    def _recent_with(self, values: FloatArray) -> FloatArray:
        known = values[np.isfinite(values)] if values.ndim == 1 else np.empty(0)
        recent: FloatArray = np.concatenate([self.recent, bounded(known)])[-(WINDOW - 1) :]
        return recent

    def score(self, values: FloatArray) -> FloatArray:
        """Mean collusive displacement, range [0, inf)."""
        return self._go_on(values)[0]

    def update(self, values: FloatArray) -> "FittedRandomCutForest":
        return self._go_on(values)[1]

    def to_arrays(self) -> Arrays:
        learned = {name: getattr(self, name) for name in self.__slots__ if name != "trees"}
        return {**self.trees._asdict(), **learned}


@dataclass(frozen=True, slots=True)
class RandomCutForest:
    """Thirty trees over the last 128 rows; the rows of a single metric are windows of 4 values.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    seed: int = 0
    least_spread: float = 0.0
    name: ClassVar[str] = "random_cut_forest"
    min_points: ClassVar[int] = 32
    memorises: ClassVar[bool] = True

    def fit(self, values: FloatArray) -> FittedRandomCutForest:
        """See `models.detect.protocols.Detector.fit`."""
        rows = rows_of(values, WINDOW)
        center, spread = scaling(require_points(rows, self.min_points, self.name), self.least_spread)
        dims, capacity = rows.shape[1], 2 * SIZE
        trees = Trees(
            nodes=np.full((TREES, capacity, 5), NONE, dtype=np.int32),
            cuts=np.zeros((TREES, capacity)),
            low=np.zeros((TREES, capacity, dims)),
            high=np.zeros((TREES, capacity, dims)),
            roots=np.full(TREES, NONE, dtype=np.int32),
        )
        seed = np.array([self.seed], dtype=np.uint64)
        empty = FittedRandomCutForest(
            trees, np.zeros(1, dtype=np.int64), seed, center, spread, recent=np.empty(0)
        )
        return empty.update(values[-20 * SIZE :])

    def from_arrays(self, arrays: Arrays) -> FittedRandomCutForest:
        trees = Trees(**{name: arrays[name] for name in Trees._fields})
        learned = {name: arrays[name] for name in FittedRandomCutForest.__slots__ if name != "trees"}
        return FittedRandomCutForest(trees, **learned)
