"""One model for all series: it learns across units, travels as bytes, knows its fleet only up to the cut."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from core.errors import InsufficientDataError
from models.forecast.checks import CHECKS, example
from models.forecast.choice.candidates import with_candidates
from models.forecast.choice.fleet_model import MIN_SERIES, FleetModel, learn_fleet_model
from models.forecast.choice.selection import Plan, select
from models.forecast.fleet.global_rows import by_coarse
from models.forecast.fleet.global_trees import GlobalTrees, examples, learn
from models.forecast.pool.pool_forecaster import paths
from models.forecast.prepared import make_ready
from models.forecast.protocols import Forecaster, History

PLAN = Plan(origins=8)


def learned(histories: list[History]) -> GlobalTrees:
    return learn([examples(history, 24) for history in histories], seed=1)


@pytest.fixture(scope="module")
def trees() -> GlobalTrees:
    return learned(
        [example(28, seed=seed, level=10.0**seed, swing=3 * 10.0 ** (seed - 1)) for seed in range(1, 5)]
    )


def test_it_forecasts_a_series_that_it_has_not_seen_in_a_unit_that_it_has_not_seen(
    trees: GlobalTrees,
) -> None:
    whole = example(22, seed=9, level=5e6, swing=1e6)
    history = whole.until(len(whole) - 24)
    truth = whole.values[-24:]
    error = np.mean(np.abs(trees.fit(history).predict(24) - truth))
    naive = np.mean(np.abs(history.values[-24:] - truth))
    assert error < naive


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds_what_every_forecaster_must(check: Callable[[Forecaster], None], trees: GlobalTrees) -> None:
    forecaster: Forecaster = trees
    check(forecaster)


def test_its_bytes_give_the_same_forecast(trees: GlobalTrees) -> None:
    again = GlobalTrees.from_bytes(trees.to_bytes())
    assert np.array_equal(trees.fit(example()).predict(24), again.fit(example()).predict(24))


def test_the_same_fleet_and_seed_give_the_same_trees() -> None:
    fleet = [example(21, seed=seed) for seed in range(3)]
    assert learned(fleet).to_bytes() == learned(fleet).to_bytes()


def test_what_comes_after_the_cut_is_not_learned() -> None:
    whole = example(28)
    found = examples(whole, 24).until(500)
    other = replace(whole, values=np.where(np.arange(len(whole)) >= 500, 1e9, whole.values))
    again = examples(other, 24).until(500)
    assert found.ends
    assert max(found.ends) <= 500
    for one, two in zip(found.tables + found.targets, again.tables + again.targets, strict=True):
        assert np.array_equal(one, two, equal_nan=True)


def test_a_series_of_a_day_is_too_short(trees: GlobalTrees) -> None:
    short = example(1)
    with pytest.raises(InsufficientDataError):
        trees.fit(short)
    with pytest.raises(InsufficientDataError):
        learned([short])


def test_a_fine_grid_is_learned_on_the_grid_of_the_pool(trees: GlobalTrees) -> None:
    t = np.arange(288 * 21)
    noise = np.random.default_rng(1).normal(0, 1, len(t))
    fine = replace(
        example(), values=100 + 20 * np.sin(2 * np.pi * t / 288) + noise, step_s=300, seasons=(288,)
    )
    yhat = trees.fit(fine).predict(50)
    assert yhat.shape == (50,)
    assert np.abs(yhat - (100 + 20 * np.sin(2 * np.pi * np.arange(50) / 288))).mean() < 5
    ready = make_ready(fine)
    assert np.abs(yhat - np.median(list(paths(ready, 50).values()), axis=0)).max() < 20
    assert by_coarse(np.array([1.0, 3.0, np.nan, 5.0, np.nan]), 2) == pytest.approx(
        [2, 5, np.nan], nan_ok=True
    )


def fleet() -> list[History]:
    """Load that comes back after a dip to exactly where it was, which no model of the pool believes at once."""
    found = []
    for seed in range(MIN_SERIES):
        rng = np.random.default_rng(seed)
        t = np.arange(24 * 28)
        dip = 40.0 * np.isin(t // 12 % 9, (4, 5))
        values = 100 + 20 * np.sin(2 * np.pi * t / 24) - dip + rng.normal(0, 3, len(t))
        found.append(replace(example(), values=10.0 ** (seed % 5) * values))
    return found


@pytest.fixture(scope="module")
def common() -> FleetModel | None:
    histories = fleet()
    return learn_fleet_model(histories, [select(one, PLAN) for one in histories], PLAN, seed=1)


def test_a_habit_that_all_series_share_earns_the_common_trees_a_say(common: FleetModel | None) -> None:
    assert common is not None
    assert min(common.candidate.fleet_errors.values()) < 0.95
    history = fleet()[0]
    choice = with_candidates(select(history, PLAN), history, PLAN, [common.candidate])
    assert choice.weights["global_trees"] >= 0.2
    assert "global_trees has" in choice.reason


def test_the_trees_that_are_tried_have_not_seen_the_days_they_are_tried_on(
    common: FleetModel | None,
) -> None:
    assert common is not None
    tried = common.candidate.tried_as
    assert isinstance(tried, GlobalTrees)
    assert tried.to_bytes() != common.trees.to_bytes()
    histories = fleet()
    choices = [select(one, PLAN) for one in histories]
    wild = [replace(one, values=np.r_[one.values[:-144], 9 * one.values[-144:]]) for one in histories]
    other = learn_fleet_model(wild, choices, PLAN, seed=1)
    if other is not None:
        assert isinstance(other.candidate.tried_as, GlobalTrees)
        assert other.candidate.tried_as.to_bytes() == tried.to_bytes()
        assert other.trees.to_bytes() != common.trees.to_bytes()


def test_where_nothing_is_left_to_gain_there_are_no_trees_and_few_series_are_not_asked() -> None:
    constant = [replace(example(), values=np.full(24 * 21, 7.0 + level)) for level in range(MIN_SERIES)]
    assert learn_fleet_model(constant, [select(one, PLAN) for one in constant], PLAN, seed=1) is None
    few = fleet()[: MIN_SERIES - 1]
    assert learn_fleet_model(few, [select(one, PLAN) for one in few], PLAN, seed=1) is None
