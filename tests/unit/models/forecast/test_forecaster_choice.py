"""Any forecaster of the catalog can forecast a fleet; the state of each is stored in the same way."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from core.arrays import FloatArray
from core.domain import Role, Series
from core.errors import ConfigurationError, InsufficientDataError, ModelUnavailableError
from core.settings import Settings
from models.forecast import catalog
from models.forecast.bundle import ForecasterBundle
from models.forecast.catalog import (
    DEFAULT_FORECASTERS,
    EXPENSIVE,
    forecasters,
    select_forecasters,
)
from models.forecast.checks import example
from models.forecast.choice.candidates import Candidate, with_candidates
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.libraries.nixtla import AUTO_ARIMA, NixtlaForecaster
from models.forecast.pool.pool import POOL
from models.forecast.protocols import Forecaster, History, StoredForecaster
from models.forecast.states import state_tree, tree_state

FORMAT_5 = Path(__file__).parent / "format_5"
SERIES = Series(tenant="t", service="shop", metric="requests_per_second", role=Role.TRAFFIC)
STEPS = 24


def trended(days: int = 8) -> History:
    """Without a season and with a trend: an ARIMA of it has a drift."""
    history = example(days, swing=0.0)
    return replace(history, seasons=(), values=history.values + 0.5 * np.arange(len(history)))


def test_the_default_set_is_declared_by_name_and_selected_by_an_empty_setting() -> None:
    assert Settings(_env_file=None).forecasters == ()
    assert select_forecasters(()) == select_forecasters(DEFAULT_FORECASTERS)
    selected = select_forecasters(())
    assert selected.members == tuple(POOL)
    assert selected.candidates == ("prophet",)
    assert selected.fleet_model


def test_fast_forecasters_are_members_and_expensive_ones_must_earn_their_cost() -> None:
    selected = select_forecasters(["auto_arima", "level", "prophet"])
    assert selected.members == ("level",)
    assert selected.candidates == ("auto_arima", "prophet")
    assert not selected.fleet_model


def test_expensive_forecasters_alone_are_members() -> None:
    selected = select_forecasters(["auto_arima", "global_trees"])
    assert selected.members == ("auto_arima",)
    assert selected.candidates == ()
    assert selected.fleet_model


def test_the_setting_is_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_FORECASTERS", '["pool", "auto_arima"]')
    assert select_forecasters(Settings(_env_file=None).forecasters).candidates == ("auto_arima",)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["arima"], r"no forecaster arima; FOREWARN_FORECASTERS accepts pool, .*auto_arima.*, global_trees"),
        (["level", "level"], "twice: level"),
        (["pool", "level"], "twice: level; 'pool' stands for seasonal_naive"),
        (["global_trees"], "global_trees corrects other forecasters; add one"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused(names: list[str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        select_forecasters(names)


@pytest.mark.parametrize("forecaster", EXPENSIVE, ids=lambda one: one.name)
def test_the_state_of_an_expensive_forecaster_gives_the_same_forecast_to_the_last_bit(
    forecaster: Forecaster,
) -> None:
    assert isinstance(forecaster, StoredForecaster)
    daily = replace(example(5), seasons=(24,))
    for history in (trended(), daily, replace(daily, values=np.full(48, 3.0))):
        fitted = forecaster.fit(history)
        state = fitted.to_arrays()
        assert all(array.dtype != object for array in state.values())
        loaded = forecaster.from_arrays(state)
        first = fitted.predict(30)
        assert np.array_equal(loaded.predict(30), first)
        assert np.array_equal(loaded.predict(30), first), "the first prediction changed the model"
        assert np.array_equal(fitted.predict(30), first)
        for name, array in loaded.to_arrays().items():
            assert array.tobytes() == state[name].tobytes(), name


def test_a_season_too_long_for_arima_is_stored_with_it() -> None:
    history = replace(example(8), seasons=(48,))
    fitted = AUTO_ARIMA.fit(history)
    assert np.array_equal(AUTO_ARIMA.from_arrays(fitted.to_arrays()).predict(60), fitted.predict(60))


@pytest.mark.parametrize("forecaster", EXPENSIVE, ids=lambda one: one.name)
@pytest.mark.parametrize("count", [2, 3, 12])
def test_a_few_values_are_forecast_or_refused(forecaster: Forecaster, count: int) -> None:
    history = replace(example(1), values=np.linspace(10, 12, count))
    refused = (
        pytest.raises(InsufficientDataError, match="needs")
        if may_refuse(forecaster, history)
        else nullcontext()
    )
    with refused:
        assert np.isfinite(forecaster.fit(history).predict(STEPS)).all()


def may_refuse(forecaster: Forecaster, history: History) -> bool:
    """ETS, Theta and MSTL refuse three values, Prophet fewer than ten; ARIMA and MFLES none."""
    least = {"prophet": 10, "auto_ets": 4, "theta": 4, "mstl": 4}
    return len(history) < least.get(forecaster.name, 0)


class Pair(NamedTuple):
    first: int
    second: float


def test_a_tree_of_plain_data_survives_and_anything_else_is_refused() -> None:
    tree = {
        "a": [1, 2.5, None, True],
        "b": (np.float64("nan"), float("inf")),
        "c": {"d": np.eye(2), "": "text"},
    }
    again = state_tree(tree_state(tree))
    assert again["a"] == tree["a"]
    assert isinstance(again["b"], tuple)
    assert isinstance(again["b"][0], np.float64)
    assert np.isnan(again["b"][0])
    assert again["b"][1] == float("inf")
    assert np.array_equal(again["c"]["d"], np.eye(2))
    assert again["c"][""] == "text"
    assert state_tree(tree_state(Pair(1, 0.1))) == (1, 0.1)
    for wrong in (object(), {1: 2}, np.array([object()]), [{"deep": object()}]):
        with pytest.raises(TypeError, match="plain data"):
            tree_state(wrong)


def bundle_of(history: History, members: tuple[str, ...], candidate: str | None = None) -> ForecasterBundle:
    """What training makes of one series, without the database."""
    plan = Plan(origins=4, members=members)
    choice = select(history, plan)
    if candidate is not None:
        choice = with_candidates(choice, history, plan, [Candidate(forecaster=forecasters()[candidate])])
    states = {
        name: one.fit(history).to_arrays()
        for name in choice.weights
        if isinstance(one := forecasters()[name], StoredForecaster)
    }
    entry = Entry(series=SERIES, history=history, choice=choice, states=states)
    return ForecasterBundle(ForecastParts(entries={SERIES.series_id: entry}))


@pytest.mark.parametrize("name", [name for name in forecasters() if name not in ("prophet", "auto_arima")])
def test_each_forecaster_alone_forecasts_a_series_and_survives_its_files(name: str) -> None:
    history = replace(example(8), seasons=(24,))
    bundle = bundle_of(history, (name,))
    assert dict(bundle.entries[SERIES.series_id].choice.weights) == {name: 1.0}
    assert_the_files_forecast_the_same(bundle)


def test_arima_alone_forecasts_a_series_and_survives_its_files() -> None:
    bundle = bundle_of(trended(4), ("auto_arima",))
    assert_the_files_forecast_the_same(bundle)
    yhat = bundle.forecast(SERIES.series_id).yhat
    assert yhat.mean() == pytest.approx(100 + 0.5 * (4 * 24 + 12), rel=0.05)


def test_arima_and_theta_are_weighed_beside_fast_members_and_stored_together() -> None:
    bundle = bundle_of(trended(4), ("level", "theta"), "auto_arima")
    entry = bundle.entries[SERIES.series_id]
    assert set(entry.choice.weights) >= {"level", "theta"}
    assert {"theta"} <= set(entry.states) <= {"theta", "auto_arima"}
    assert_the_files_forecast_the_same(bundle)


def assert_the_files_forecast_the_same(bundle: ForecasterBundle) -> None:
    again = ForecasterBundle.from_files(bundle.to_files())
    first, second = bundle.forecast(SERIES.series_id), again.forecast(SERIES.series_id)
    assert np.isfinite(first.yhat).all()
    assert np.array_equal(first.yhat, second.yhat)
    assert np.array_equal(first.upper[0.95], second.upper[0.95])
    assert again.to_files() == bundle.to_files()


def test_a_member_that_some_moments_are_too_early_for_gets_no_weight() -> None:
    history = replace(example(4), seasons=())
    few = replace(history, values=np.where(np.arange(96) % 12 == 0, history.values, np.nan))
    choice = select(few, Plan(origins=4, members=("level", "prophet")))
    assert set(choice.weights) == {"level"}


def test_a_series_too_short_for_a_backtest_is_forecast_by_the_members_that_can() -> None:
    short = replace(example(1), values=np.arange(9, dtype=np.float64))
    assert set(select(short, Plan()).weights) == {"level", "seasonal_naive"}
    assert set(select(short, Plan(members=("theta", "prophet"))).weights) == {"theta"}
    with pytest.raises(InsufficientDataError, match="too short for prophet: Prophet needs 10 values, got 9"):
        select(short, Plan(members=("prophet",)))


def test_a_bundle_with_a_forecaster_that_is_not_installed_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toy = NixtlaForecaster("toy", lambda library, seasons: library.Naive())
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "FAST", (*catalog.FAST, toy))
        history = replace(example(4), values=np.full(96, 5.0))
        choice = replace(select(history, Plan()), weights={"toy": 1.0})
        files = ForecasterBundle(
            ForecastParts(entries={SERIES.series_id: Entry(series=SERIES, history=history, choice=choice)})
        ).to_files()
        assert ForecasterBundle.from_files(files).forecast(SERIES.series_id).yhat.tolist() == [5.0] * STEPS
    with pytest.raises(
        ModelUnavailableError, match=r"toy; install them, or run `forewarn train forecasters`"
    ):
        ForecasterBundle.from_files(files)


def format_5() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in FORMAT_5.iterdir() if path.name != "expected.npz"}


def test_a_bundle_of_the_release_before_gives_the_forecasts_that_it_gave_then() -> None:
    """`expected.npz` holds what the code of format 5 forecast from these files: now, 30 h before and 3 h later."""
    old = ForecasterBundle.from_files(format_5())
    with np.load(FORMAT_5 / "expected.npz") as stored:
        expected = dict(stored)
    assert [sorted(one.states) for one in old.entries.values()].count(["prophet"]) == 1
    found: dict[str, FloatArray] = {}
    for key, entry in old.entries.items():
        prediction = old.forecast(key, horizon_steps=STEPS)
        end = entry.history.end
        found |= {
            f"{key}/yhat": prediction.yhat,
            f"{key}/lower": prediction.lower[0.8],
            f"{key}/upper": prediction.upper[0.95],
            f"{key}/paths": old.paths(prediction, 3).simulate(),
            f"{key}/before": old.forecast(
                key, at=end.fromtimestamp(end.timestamp() - 30 * 3_600, end.tzinfo)
            ).yhat,
            f"{key}/later": old.forecast(
                key, at=end.fromtimestamp(end.timestamp() + 3 * 3_600, end.tzinfo)
            ).yhat,
        }
    assert set(found) == set(expected)
    for name, values in expected.items():
        # Equal to the last bit on the machine that wrote them; another one may add in another order.
        np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=0, err_msg=name)


def test_a_bundle_of_the_release_before_is_saved_in_the_new_format_without_a_change() -> None:
    old = ForecasterBundle.from_files(format_5())
    new = ForecasterBundle.from_files(old.to_files())
    for key in old.entries:
        first, second = old.forecast(key), new.forecast(key)
        assert np.array_equal(first.yhat, second.yhat)
        assert np.array_equal(first.lower[0.95], second.lower[0.95])
        assert np.array_equal(old.paths(first).simulate(), new.paths(second).simulate())


def test_another_format_is_refused_with_the_command_that_helps() -> None:
    files = format_5()
    files["bundle.json"] = files["bundle.json"].replace(b'"format": 5', b'"format": 4')
    with pytest.raises(ModelUnavailableError, match="forewarn train forecasters"):
        ForecasterBundle.from_files(files)
