"""Every compiled kernel, run with bounds checks over the whole range of float64.

A kernel without a strategy here fails the first test, so a new kernel cannot be forgotten.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from any_float import courses, many_examples
from hypothesis import given
from hypothesis import strategies as st
from kernels import arrays_of, bounded_copy, find_kernels, with_bounds_checks

from features.grid import LARGEST_SHARE
from models.baseline.residuals import Pace
from models.detect.detectors import holt_winters, random_cut_forest, stream
from models.detect.detectors.isolation_forest import FittedIsolationForest, IsolationForest
from models.failure.trees import Leaves
from models.forecast.intervals.conformal import PROBABILITIES
from models.series.magnitude import LIMIT, bounded

pytestmark = pytest.mark.many_examples

Arguments = tuple[Any, ...]
Strategy = Callable[[st.DrawFn], Arguments]
STRATEGIES: dict[str, st.SearchStrategy[Arguments]] = {}


def arguments_of(*kernels: str) -> Callable[[Strategy], Strategy]:
    """Register how to draw the arguments of kernels."""

    def register(strategy: Strategy) -> Strategy:
        STRATEGIES.update(dict.fromkeys(kernels, st.composite(strategy)()))
        return strategy

    return register


def course(draw: st.DrawFn, least: int = 0, most: int = 40, *, gaps: bool = True) -> Any:
    return draw(courses(least, most, gaps=gaps))


def size(draw: st.DrawFn, least: float = 0.0, most: float = LIMIT) -> float:
    """A number that is not negative."""
    return draw(st.floats(least, most, exclude_min=least == 0.0))


@arguments_of("models.detect.detectors.stream.bin_of")
def _(draw: st.DrawFn) -> Arguments:
    return (draw(st.floats(0.0) | st.just(float("nan"))),)


@arguments_of("models.detect.detectors.stream.surprise")
def _(draw: st.DrawFn) -> Arguments:
    return _counts(draw), draw(st.integers(0, stream.TOGETHER)), draw(st.floats(0.0))


@arguments_of("models.detect.detectors.stream.count")
def _(draw: st.DrawFn) -> Arguments:
    most = draw(st.sampled_from((2.0, 3_000.0)))
    return _counts(draw), draw(st.integers(0, stream.TOGETHER)), draw(st.floats(0.0)), most


def _counts(draw: st.DrawFn) -> Any:
    counts = stream.empty_counts(stream.TOGETHER + 1)
    for number in draw(st.lists(st.floats(0.0), max_size=5)):
        stream.count(counts, 0, number, 3_000.0)
    return counts


@arguments_of("models.detect.detectors.stream._beyond")
def _(draw: st.DrawFn) -> Arguments:
    return draw(st.floats(-LIMIT, LIMIT)), size(draw)


@arguments_of("models.detect.detectors.stream._run")
def _(draw: st.DrawFn) -> Arguments:
    step_s = draw(st.sampled_from((1, 60, 300, 420, 3_600, 86_400, 604_800)))
    fresh = stream.Stream(step_s).fresh()
    values = course(draw, most=80)
    start = draw(st.sampled_from((0, -1, -(10**12), 1_800_000_000, 2**62)))
    times_s = start + step_s * np.arange(values.size, dtype=np.int64)
    return fresh.memory, times_s, values, float(step_s)


@arguments_of("models.detect.detectors.stream._dead_band")
def _(draw: st.DrawFn) -> Arguments:
    return (_memory(draw).state,)


@arguments_of("models.detect.detectors.stream._least_range")
def _(draw: st.DrawFn) -> Arguments:
    return _memory(draw).state, size(draw)


@arguments_of("models.detect.detectors.stream._predict")
def _(draw: st.DrawFn) -> Arguments:
    return _memory(draw), *_slots(draw), 300.0


@arguments_of("models.detect.detectors.stream._views")
def _(draw: st.DrawFn) -> Arguments:
    memory = _memory(draw)
    predicted = stream._predict(memory, *_slots(draw), 300.0)
    return memory.state, draw(st.floats(-LIMIT, LIMIT)), predicted, np.empty(stream.VIEWS + 1)


@arguments_of("models.detect.detectors.stream._evidence")
def _(draw: st.DrawFn) -> Arguments:
    return _counts(draw), np.resize(np.abs(course(draw, 1)), stream.VIEWS + 1)


@arguments_of("models.detect.detectors.stream._learn_spread")
def _(draw: st.DrawFn) -> Arguments:
    memory, (slot, week_slot, hour) = _memory(draw), _slots(draw)
    predicted = stream._predict(memory, slot, week_slot, hour, 300.0)
    return memory, draw(st.floats(-LIMIT, LIMIT)), predicted, hour


@arguments_of("models.detect.detectors.stream._learn_level")
def _(draw: st.DrawFn) -> Arguments:
    slot, week_slot, _ = _slots(draw)
    return _memory(draw), draw(st.floats(-LIMIT, LIMIT)), slot, week_slot, 300.0


def _memory(draw: st.DrawFn) -> stream.Memory:
    """What a metric of five-minute steps has learned from at least one value."""
    return stream.Stream().fresh().update(course(draw, 1, 60, gaps=False)).memory


def _slots(draw: st.DrawFn) -> tuple[int, int, int]:
    """A slot of the day, an hour of the week and the hour of the day."""
    hour_of_week = draw(st.integers(0, stream.HOURS_A_WEEK - 1))
    return draw(st.integers(0, 287)), hour_of_week, hour_of_week % 24


@arguments_of("models.detect.detectors.stream.once")
def _(draw: st.DrawFn) -> Arguments:
    return course(draw), size(draw), draw(st.floats(-10.0, 10.0)), draw(st.floats(0.0, 1.0))


@arguments_of("models.detect.detectors.ewma.ewma")
def _(draw: st.DrawFn) -> Arguments:
    return course(draw), draw(st.floats(-LIMIT, LIMIT)), draw(st.floats(0.01, 1.0)), size(draw)


@arguments_of("models.detect.detectors.holt_winters._run")
def _(draw: st.DrawFn) -> Arguments:
    period = draw(st.integers(1, 12))
    fitted = holt_winters.HoltWinters(period=period).fit(course(draw, 24, 60, gaps=False))
    return fitted.state.copy(), fitted.season.copy(), course(draw), fitted.rates


@arguments_of("models.detect.detectors.pca.average_columns")
def _(draw: st.DrawFn) -> Arguments:
    columns = draw(st.integers(1, 3))
    values = np.stack([np.resize(course(draw, 1), 20) for _ in range(columns)], axis=1)
    return values, bounded(course(draw, columns, columns, gaps=False)), draw(st.floats(0.01, 1.0))


@arguments_of("models.detect.detectors.isolation_forest._depths")
def _(draw: st.DrawFn) -> Arguments:
    forest = _forest()
    with np.errstate(over="ignore"):
        rows = np.resize(course(draw, 1), (20, 2)).astype(np.float32)
    return rows, forest.trees, forest.levels


@cache
def _forest() -> FittedIsolationForest:
    return IsolationForest(trees=5).fit(np.random.default_rng(1).normal(size=(64, 2)))


@arguments_of(
    "models.detect.detectors.random_cut_forest._random",
)
def _(draw: st.DrawFn) -> Arguments:
    return (np.array([draw(st.integers(0, 2**64 - 1))], dtype=np.uint64),)


@arguments_of("models.detect.detectors.random_cut_forest._run")
def _(draw: st.DrawFn) -> Arguments:
    seed = np.array([draw(st.integers(0, 2**32))], dtype=np.uint64)
    return _trees(), np.zeros(1, dtype=np.int64), seed, _rows(draw)


@arguments_of("models.detect.detectors.random_cut_forest._tree")
def _(draw: st.DrawFn) -> Arguments:
    return _trees(), draw(st.integers(0, 1))


def _trees(trees: int = 2, leaves: int = 8, columns: int = 2) -> random_cut_forest.Trees:
    return random_cut_forest.Trees(
        nodes=np.full((trees, 2 * leaves, 5), -1, dtype=np.int32),
        cuts=np.zeros((trees, 2 * leaves)),
        low=np.zeros((trees, 2 * leaves, columns)),
        high=np.zeros((trees, 2 * leaves, columns)),
        roots=np.full(trees, -1, dtype=np.int32),
    )


def _rows(draw: st.DrawFn) -> Any:
    return np.ascontiguousarray(np.resize(course(draw, 1, 60), (draw(st.integers(1, 30)), 2)))


@arguments_of(
    "models.detect.detectors.random_cut_forest._shrink",
    "models.detect.detectors.random_cut_forest._remove",
    "models.detect.detectors.random_cut_forest._cut",
    "models.detect.detectors.random_cut_forest._insert",
    "models.detect.detectors.random_cut_forest._displacement",
)
def _grown(draw: st.DrawFn) -> Arguments:
    """One tree that holds some rows; the arguments of each kernel are picked from it."""
    trees, state = _trees(trees=1), np.zeros(1, dtype=np.int64)
    seed = np.array([draw(st.integers(0, 2**32))], dtype=np.uint64)
    rows = _rows(draw)[:7]  # one of eight places is left
    random_cut_forest._run(trees, state, seed, rows)
    known = int(state[0])
    leaf = draw(st.integers(0, max(known - 1, 0)))
    return random_cut_forest._tree(trees, 0), leaf, known, seed, rows[-1]


PICKED: dict[str, Callable[..., Arguments]] = {
    "_shrink": lambda tree, leaf, known, seed, row: (tree, tree.nodes[leaf, 0]),
    "_remove": lambda tree, leaf, known, seed, row: (tree, leaf),
    "_cut": lambda tree, leaf, known, seed, row: (tree, row, seed),
    "_insert": lambda tree, leaf, known, seed, row: (tree, known, 8 + known, row, seed),
    "_displacement": lambda tree, leaf, known, seed, row: (tree.nodes, leaf),
}


@arguments_of("models.detect.budget._decide")
def _(draw: st.DrawFn) -> Arguments:
    p_values = np.array(draw(st.lists(st.floats(0.0, 1.0) | st.just(float("nan")), max_size=40)))
    times_s = np.sort(np.resize(course(draw, 1, gaps=False), p_values.size))
    return p_values, times_s, 1e-4, 1e-5, 6 * 3_600.0


@arguments_of("models.baseline.residuals._follow")
def _(draw: st.DrawFn) -> Arguments:
    flat = course(draw)
    scale = np.resize(np.abs(course(draw, 1, gaps=False)), flat.size) + 2.0**-300
    settling = np.arange(flat.size) % 7 == 0
    pace = Pace(0.01, 0.1, dead_band=draw(st.floats(0.0, 1.0)))
    return flat, scale, settling, draw(st.floats(-LIMIT, LIMIT)), pace


@arguments_of("models.baseline.trend._robust_slope")
def _(draw: st.DrawFn) -> Arguments:
    values = course(draw, most=80, gaps=False)
    return np.cumsum(np.full(values.size, draw(st.sampled_from((1 / 24, 1.0, 7.0))))), values


@arguments_of("models.baseline.changepoints._strengths")
def _(draw: st.DrawFn) -> Arguments:
    hourly = course(draw, most=80)
    return hourly, 24, 6, size(draw, 2.0**-300), np.zeros(hourly.size)


@arguments_of("models.baseline.changepoints._refine")
def _(draw: st.DrawFn) -> Arguments:
    hourly = course(draw, 12, 80)
    peak = draw(st.integers(0, hourly.size - 1))
    return hourly, max(1, peak - 6), min(hourly.size - 1, peak + 6), 24


@arguments_of("models.forecast.pool.smoothing._smooth_level")
def _(draw: st.DrawFn) -> Arguments:
    return course(draw, 1, gaps=False), np.array([0.01, 0.4, 1.0])


@arguments_of("models.forecast.pool.smoothing._search")
def _(draw: st.DrawFn) -> Arguments:
    grid = np.array([[0.003, 0.03, 0.03, 0.0], [0.15, 0.3, 0.3, 0.95]])
    return course(draw, 1, gaps=False), grid, draw(st.floats(-LIMIT, LIMIT)), *_seasons(draw)


@arguments_of("models.forecast.pool.smoothing._run")
def _(draw: st.DrawFn) -> Arguments:
    row = np.array([0.15, 0.3, 0.3, 0.95])
    return course(draw, 1, gaps=False), row, draw(st.floats(-LIMIT, LIMIT)), *_seasons(draw)


@arguments_of("models.forecast.history._fill")
def _(draw: st.DrawFn) -> Arguments:
    values = course(draw, 2)
    places = draw(st.lists(st.integers(0, values.size), max_size=6, unique=True).map(sorted))
    firsts, lasts = places[: len(places) // 2 * 2 : 2], places[1::2]
    season = draw(st.integers(2, 30))
    return values.copy(), values, np.array(firsts, dtype=np.int64), np.array(lasts, dtype=np.int64), season


def _seasons(draw: st.DrawFn) -> Arguments:
    return bounded(course(draw, 1, 24, gaps=False)), bounded(course(draw, 1, 48, gaps=False))


@arguments_of("models.forecast.pool.ridge._products")
def _(draw: st.DrawFn) -> Arguments:
    values = course(draw, 4, 60, gaps=False)
    width = draw(st.integers(2, values.size - 1))
    return values, draw(st.integers(1, width - 1)), width, values.size - width + 1


@arguments_of("models.forecast.intervals.conformal._correlated")
def _(draw: st.DrawFn) -> Arguments:
    return np.resize(course(draw, 1), (3, 5)), draw(st.floats(0.0, 1.0))


@arguments_of("models.forecast.intervals.conformal._around")
def _(draw: st.DrawFn) -> Arguments:
    rank = np.array(draw(st.lists(st.floats(0.0, 1.0) | st.sampled_from(list(PROBABILITIES)), min_size=1)))
    quantiles = np.sort(np.resize(course(draw, 1, gaps=False), (2, len(PROBABILITIES))), axis=1)
    yhat, widths = (np.resize(course(draw, 1, gaps=False), shape) for shape in (5, (2, 5)))
    return yhat, np.resize(rank, (3, 5)), quantiles, np.abs(widths)


@arguments_of("features.windows._trimmed_means")
def _(draw: st.DrawFn) -> Arguments:
    return course(draw), draw(st.integers(0, 4)), draw(st.integers(4, 10)), 5


@arguments_of("features.windows._steps_since_shares")
def _(draw: st.DrawFn) -> Arguments:
    level = course(draw)
    steps = draw(st.integers(1, 10))
    lowest = np.array([np.fmin.reduce(level[max(0, at - steps) : at + 1]) for at in range(level.size)])
    return level, lowest.reshape(level.shape), np.array([0.1, 0.5, 0.9]), steps


@arguments_of("features.windows._lines")
def _(draw: st.DrawFn) -> Arguments:
    values = course(draw, 1)
    rows = np.array(sorted(draw(st.sets(st.integers(0, values.size - 1), max_size=5))), dtype=np.int64)
    return values, rows, np.array([6, 12, 36]), 12


@arguments_of("features.calm._less_explained")
def _(draw: st.DrawFn) -> Arguments:
    level = course(draw, 40, 40)
    long = np.resize(level, 400)
    traffic = np.resize(course(draw, 1), 400)
    return long, traffic, np.nan_to_num(traffic)


@arguments_of("features.calm._teeth")
def _(draw: st.DrawFn) -> Arguments:
    level = np.nan_to_num(np.resize(course(draw, 1, 60), draw(st.sampled_from((0, 3, 40, 400)))))
    return level, np.full(level.size, size(draw)), draw(st.integers(0, 24))


@arguments_of("models.failure.trees._add_leaves")
def _(draw: st.DrawFn) -> Arguments:
    return (*_flat_trees(draw), np.array([1.0, -1.0, 0.5]), np.zeros(20))


@arguments_of("models.failure.trees._add_shares")
def _(draw: st.DrawFn) -> Arguments:
    return (*_flat_trees(draw), np.full((3 * 4, 2), 0.5), np.zeros((20, 3)))


def _flat_trees(draw: st.DrawFn) -> Arguments:
    """Rows of any numbers, and three leaves with two conditions each."""
    with np.errstate(over="ignore"):
        x = np.resize(course(draw, 1), (20, 2)).astype(np.float32)
        low = bounded(np.resize(course(draw, 1, gaps=False), (3, 2)), 3e38).astype(np.float32)
    high = np.maximum(low, np.float32(0.0))
    return x, Leaves(np.array([[0, 1], [1, 0], [0, 0]]), low, high, missing=np.array([[True, False]] * 3))


#: Features read shares, which are bounded more tightly than values.
TIGHTER = dict.fromkeys(("_less_explained", "_lines", "_teeth"), LARGEST_SHARE)


def test_every_kernel_has_a_strategy() -> None:
    assert set(find_kernels()) == set(STRATEGIES)


@pytest.mark.parametrize("name", find_kernels())
@many_examples()
@given(data=st.data())
def test_a_kernel_stays_within_its_arrays_for_every_float(name: str, data: st.DataObject) -> None:
    kernel = with_bounds_checks(find_kernels()[name])
    short = name.rpartition(".")[2]
    given_ = data.draw(STRATEGIES[name])
    if "random_cut_forest" in name and short in PICKED:
        given_ = PICKED[short](*given_)
    within = tuple(bounded_copy(one, TIGHTER.get(short, LIMIT)) for one in given_)
    kernel(*given_)
    for result in arrays_of(kernel(*within)):
        assert not np.isinf(result).any()
