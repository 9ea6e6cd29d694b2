"""One model for all series: it learns across units, travels as bytes, and needs two seasons."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import InsufficientDataError
from models.forecasters.checks import example
from models.forecasters.global_trees import GlobalTrees, learn
from models.forecasters.protocols import History


@pytest.fixture(scope="module")
def trees() -> GlobalTrees:
    fleet = [example(28, seed=seed, level=10.0**seed, swing=3 * 10.0 ** (seed - 1)) for seed in range(1, 5)]
    return learn(fleet, 24, seed=1)


def test_it_forecasts_a_series_that_it_has_not_seen_in_a_unit_that_it_has_not_seen(
    trees: GlobalTrees,
) -> None:
    whole = example(22, seed=9, level=5e6, swing=1e6)
    history = whole.until(len(whole) - 24)
    truth = whole.values[-24:]
    error = np.mean(np.abs(trees.fit(history).predict(24) - truth))
    naive = np.mean(np.abs(history.values[-24:] - truth))
    assert error < naive


def test_its_bytes_give_the_same_forecast(trees: GlobalTrees) -> None:
    again = GlobalTrees.from_bytes(trees.to_bytes())
    assert np.array_equal(trees.fit(example()).predict(24), again.fit(example()).predict(24))


def test_the_same_fleet_and_seed_give_the_same_trees() -> None:
    fleet = [example(21, seed=seed) for seed in range(3)]
    assert learn(fleet, 24, seed=3).to_bytes() == learn(fleet, 24, seed=3).to_bytes()


def test_what_comes_after_the_cut_is_not_learned(trees: GlobalTrees) -> None:
    whole = example(28)
    other = replace(whole, values=np.where(np.arange(len(whole)) >= 600, 1e9, whole.values))
    assert (
        learn([whole.until(600)], 24, seed=1).to_bytes() == learn([other.until(600)], 24, seed=1).to_bytes()
    )


def test_a_series_of_a_day_is_too_short(trees: GlobalTrees) -> None:
    short = example(1)
    with pytest.raises(InsufficientDataError):
        trees.fit(short)
    with pytest.raises(InsufficientDataError):
        learn([History(values=short.values, start=short.start, step_s=3_600, seasons=(24,))], 24, seed=1)
