"""Choosing by the past: what did well speaks louder, what costs must earn it, what is too short says so."""

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forecast.backtest import Backtest, choose_origins
from models.forecast.checks import example
from models.forecast.choice.selection import Plan, kept_back, select
from models.forecast.combination import combine, left_out, weigh
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.protocols import History

START = datetime(2026, 1, 5, tzinfo=UTC)


def naive_weighted_median(values: list[float], weights: list[float]) -> float:
    """Interpolated between the two centres of mass around one half, by a loop."""
    pairs = sorted(zip(values, weights, strict=True), key=lambda pair: pair[0])
    total, before, centres = sum(weights), 0.0, []
    for value, weight in pairs:
        centres.append(((before + weight / 2) / total, value))
        before += weight
    if centres[0][0] >= 0.5:
        return centres[0][1]
    for (low, first), (high, second) in itertools.pairwise(centres):
        if high >= 0.5:
            return first + (0.5 - low) / (high - low) * (second - first)
    return centres[-1][1]


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 10)), min_size=2, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_the_weighted_median_is_that_of_a_plain_loop(pairs: list[tuple[float, float]]) -> None:
    values, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    names = [f"m{number}" for number in range(len(pairs))]
    told = combine(
        {name: np.array([value]) for name, value in zip(names, values, strict=True)},
        dict(zip(names, weights, strict=True)),
    )
    assert told[0] == pytest.approx(naive_weighted_median(values, weights), abs=1e-9)


def test_one_wild_model_does_not_move_the_median() -> None:
    paths = {"a": np.full(3, 1.0), "b": np.full(3, 1.1), "c": np.full(3, 0.9), "wild": np.full(3, 1e9)}
    assert combine(paths, dict.fromkeys(paths, 0.25)).max() < 1.2


def test_shares_follow_the_inverse_squared_error_and_add_up() -> None:
    shares = weigh({"good": 1.0, "bad": 2.0})
    assert shares["good"] == pytest.approx(0.8)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_model_without_error_forecasts_alone() -> None:
    assert weigh({"exact": 0.0, "other": 1.0}) == {"exact": 1.0}


def test_weights_of_an_origin_do_not_know_what_came_after_it() -> None:
    """What an origin and its overlapping neighbours met does not weigh its own forecast."""
    rng = np.random.default_rng(1)
    origins = tuple(range(100, 112))
    actual, yhat = np.zeros((12, 2)), {"a": rng.normal(size=(12, 2)), "b": rng.normal(size=(12, 2))}
    changed = actual.copy()
    changed[4:7] = 9.0
    told = left_out(Backtest(origins=origins, actual=actual, yhat=yhat), 4)
    again = left_out(Backtest(origins=origins, actual=changed, yhat=yhat), 4)
    assert np.array_equal(told[5], again[5])
    assert not np.array_equal(told[8], again[8])


def test_a_model_that_was_exact_elsewhere_speaks_for_a_left_out_origin() -> None:
    yhat = {"a": np.array([[0.0]] * 5 + [[9.0]]), "b": np.ones((6, 1))}
    told = left_out(Backtest(origins=(1, 2, 3, 4, 5, 6), actual=np.zeros((6, 1)), yhat=yhat), 8)
    assert told[5] == pytest.approx([9.0])


def test_origins_leave_a_past_and_a_whole_horizon() -> None:
    history = example(40)
    origins = choose_origins(history, 24, 16)
    assert len(origins) == 16
    assert min(origins) >= 336
    assert max(origins) == len(history) - 24
    assert len({at % 24 for at in origins}) > 4


def test_the_record_says_why() -> None:
    choice = select(example(), Plan())
    assert set(choice.weights) == set(POOL)
    assert choice.reason.startswith("weighted median of ")
    assert set(choice.coverage) == {0.8, 0.95}
    assert 0 < choice.width[0.8] < choice.width[0.95]


def test_a_short_series_says_that_it_is_short() -> None:
    history = History(values=np.arange(9, dtype=np.float64), start=START, step_s=3_600, seasons=(24, 168))
    assert "too few" in select(history, Plan()).reason


def test_weights_of_before_know_nothing_of_the_newest_days() -> None:
    history, plan = example(28), Plan()
    moved = history.values.copy()
    moved[-kept_back(history, plan) :] += 500.0
    other = History(values=moved, start=START, step_s=3_600, seasons=(24, 168))
    first, second = select(history, plan), select(other, plan)
    assert first.before == second.before
    assert first.weights != second.weights


@given(st.floats(0.1, 1e6))
@settings(max_examples=15, deadline=None)
def test_the_pool_forecasts_alike_in_every_unit(unit: float) -> None:
    history = example()
    scaled = History(values=history.values * unit, start=START, step_s=3_600, seasons=(24, 168))
    plain = PoolForecaster().fit(history).predict(24)
    assert PoolForecaster().fit(scaled).predict(24) / unit == pytest.approx(plain, rel=1e-6)


def test_a_deploy_that_shifts_the_level_is_followed_within_a_day() -> None:
    values = example(21).values.copy()
    values[-24:] += 60
    history = History(values=values, start=START, step_s=3_600, seasons=(24, 168))
    choice = select(history, Plan())
    yhat = PoolForecaster(choice.weights).fit(history).predict(24)
    assert float(np.mean(yhat)) > 140


def test_an_intermittent_count_is_forecast_at_its_usual_zero() -> None:
    values = np.zeros(24 * 21)
    values[np.random.default_rng(1).random(len(values)) < 0.05] = 30.0
    history = History(values=values, start=START, step_s=3_600, seasons=(24, 168))
    choice = select(history, Plan())
    yhat = PoolForecaster(choice.weights).fit(history).predict(24)
    assert yhat.min() >= 0
    assert float(np.median(yhat)) < 2


def test_golden_forecast() -> None:
    """Changes only on purpose: the first hours of a fixed series, to four digits."""
    choice = select(example(), Plan())
    yhat = PoolForecaster(choice.weights).fit(example()).predict(6)
    assert yhat == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = [100.7961, 106.2183, 109.5243, 114.3398, 118.2799, 120.0672]
