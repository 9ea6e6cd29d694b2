"""A bundle answers alone, survives its files to the last bit, and moves on with newer samples."""

import io
import json
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.arrays import FloatArray
from core.cache import NewestBySeries
from core.domain import Role, Series, SeriesKind
from core.errors import InsufficientDataError, InvalidFrameError, UnknownSeriesError
from core.frames import SAMPLES
from models.breach.bundle import BreachBundle
from models.forecast.bundle import FORECASTS, ForecasterBundle
from models.forecast.checks import example
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts, part_files, read_part
from models.forecast.fleet.global_trees import examples, learn
from models.forecast.history import bounds_of
from models.forecast.libraries.prophet import ProphetForecaster
from models.forecast.protocols import History
from models.forecast.states import text_state
from models.lifecycle.bundles import load_bundle

SERIES = Series(tenant="t", service="shop", metric="requests_per_second", role=Role.TRAFFIC)
KEY = SERIES.series_id
END = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=21)


@pytest.fixture(scope="module")
def bundle() -> ForecasterBundle:
    history = example()
    return ForecasterBundle(
        ForecastParts(
            entries={KEY: Entry(series=SERIES, history=history, choice=select(history, Plan()))}, seed=7
        )
    )


def recent(hours: int, value: float) -> pl.DataFrame:
    ts = [END + timedelta(minutes=5 * number) for number in range(12 * hours)]
    return pl.DataFrame(
        {"series_id": [KEY] * len(ts), "ts": ts, "value": [value] * len(ts)}, schema=dict(SAMPLES)
    )


def test_the_files_give_the_same_forecast_to_the_last_bit(bundle: ForecasterBundle) -> None:
    again = ForecasterBundle.from_files(bundle.to_files())
    first, second = bundle.forecast(KEY), again.forecast(KEY)
    assert np.array_equal(first.yhat, second.yhat)
    assert np.array_equal(first.lower[0.95], second.lower[0.95])
    assert np.array_equal(bundle.paths(first).simulate(), again.paths(second).simulate())
    assert again.entries[KEY].choice.reason == bundle.entries[KEY].choice.reason
    assert again.to_files() == bundle.to_files()


def test_a_moment_before_the_models_were_made_is_forecast_with_nothing_later_known(
    bundle: ForecasterBundle,
) -> None:
    at = END - timedelta(hours=5, minutes=20)
    entry = bundle.entry(KEY)
    values = entry.history.values.copy()
    values[-6:] = 1e6
    wiser = ForecasterBundle(
        ForecastParts(entries={KEY: replace(entry, history=replace(entry.history, values=values))}, seed=7)
    )
    first, second = bundle.forecast(KEY, at=at), wiser.forecast(KEY, at=at)
    assert first.made_at == END - timedelta(hours=6)
    assert np.array_equal(first.yhat, second.yhat)
    assert np.array_equal(first.upper[0.95], second.upper[0.95])
    with pytest.raises(InsufficientDataError):
        bundle.forecast(KEY, at=END - timedelta(days=99))


def test_the_registry_knows_how_to_load_it(bundle: ForecasterBundle) -> None:
    loaded = load_bundle("forecaster", bundle.to_files())
    assert isinstance(loaded, BreachBundle)
    assert np.array_equal(loaded.forecasters.forecast(KEY).yhat, bundle.forecast(KEY).yhat)


def test_nothing_in_the_files_is_a_pickle(bundle: ForecasterBundle) -> None:
    files = bundle.to_files()
    assert set(files) == {"bundle.json", "part-00000.json", "part-00000.npz"}
    json.loads(files["bundle.json"])
    json.loads(files["part-00000.json"])
    with np.load(io.BytesIO(files["part-00000.npz"]), allow_pickle=False) as arrays:
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float64)}


def test_parts_give_every_entry_back_as_it_was(bundle: ForecasterBundle) -> None:
    made = bundle.entries[KEY]
    ratio = replace(SERIES, service="cart", kind=SeriesKind.RATIO, role=Role.ERRORS, slo_threshold=0.02)
    history = replace(
        made.history, bounds=bounds_of(ratio), deploys=(END - timedelta(days=3),), holidays=(END.date(),)
    )
    first = replace(made, history=replace(made.history, bounds=bounds_of(SERIES)))
    other = replace(
        made,
        series=ratio,
        history=replace(history, values=history.values[:300]),
        choice=replace(made.choice, before={"level": 1.0}),
        states={"prophet": text_state("{}"), "other": {"count": np.array([[1], [2]]), "empty": np.zeros(0)}},
    )
    again = read_part(7, part_files(7, [first, other]))
    assert [one.series for one in again] == [first.series, other.series]
    for old, new in zip((first, other), again, strict=True):
        assert np.array_equal(old.history.values, new.history.values, equal_nan=True)
        assert replace(old.history, values=new.history.values) == new.history
        assert replace(old.choice, errors=new.choice.errors) == new.choice
        assert old.choice.errors.rho == new.choice.errors.rho
        for before, after in zip(old.choice.errors.memories, new.choice.errors.memories, strict=True):
            assert np.array_equal(before.quantiles, after.quantiles)
            assert np.array_equal(before.widths.scale, after.widths.scale)
            assert np.array_equal(before.widths.profile, after.widths.profile)
        assert {name: sorted(one) for name, one in old.states.items()} == {
            name: sorted(one) for name, one in new.states.items()
        }
        for member, state in old.states.items():
            for name, array in state.items():
                assert np.array_equal(array, new.states[member][name])
                assert array.dtype == new.states[member][name].dtype


def test_newer_samples_move_the_forecast_on(bundle: ForecasterBundle) -> None:
    prediction = bundle.forecast(KEY, recent(6, 500.0))
    assert prediction.made_at == END + timedelta(hours=6)
    assert prediction.times()[0] == prediction.made_at
    assert prediction.yhat[0] > bundle.forecast(KEY).yhat[6] + 20


def test_hours_without_samples_are_missing_and_not_zero(bundle: ForecasterBundle) -> None:
    later = bundle.forecast(KEY, at=END + timedelta(hours=6))
    assert later.made_at == END + timedelta(hours=6)
    assert later.yhat.min() > 50


def test_the_grid_stands_when_the_present_lies_between_two_steps(bundle: ForecasterBundle) -> None:
    assert bundle.forecast(KEY, at=END + timedelta(minutes=90)).made_at == END + timedelta(hours=1)


def test_what_another_thread_asks_meanwhile_is_not_answered_here(bundle: ForecasterBundle) -> None:
    class Contended(NewestBySeries[FloatArray]):
        """Another thread always keeps its own values between the computation and the return."""

        def get(self, series_id: int, question: Hashable, compute: Callable[[], FloatArray]) -> FloatArray:
            def overtaken() -> FloatArray:
                values = compute()
                NewestBySeries.get(self, series_id, (99, 0), lambda: np.zeros(99))
                return values

            return super().get(series_id, question, overtaken)

    contended = ForecasterBundle(bundle.parts)
    contended._medians = Contended()
    asked = contended.forecast(KEY, horizon_steps=6)
    assert np.array_equal(asked.yhat, bundle.forecast(KEY, horizon_steps=6).yhat)


def test_threads_that_ask_for_different_horizons_each_get_their_own(bundle: ForecasterBundle) -> None:
    steps = [1 + number % 24 for number in range(96)]
    expected = bundle.forecast(KEY, horizon_steps=24).yhat
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda count: bundle.forecast(KEY, horizon_steps=count).yhat, steps))
    assert [len(yhat) for yhat in found] == steps
    assert all(np.isfinite(yhat).all() and yhat[0] == expected[0] for yhat in found)


def test_other_steps_and_newer_samples_are_not_answered_with_what_was_told_before(
    bundle: ForecasterBundle,
) -> None:
    first = bundle.forecast(KEY)
    assert len(bundle.forecast(KEY, horizon_steps=6).yhat) == 6
    assert not np.array_equal(bundle.forecast(KEY, recent(3, 900.0)).yhat, first.yhat)
    assert np.array_equal(bundle.forecast(KEY).yhat, first.yhat)


def test_a_frame_is_answered_with_a_frame(bundle: ForecasterBundle) -> None:
    answer = bundle.predict_frame(recent(1, 100.0))
    assert answer.schema == pl.Schema(dict(FORECASTS))
    assert answer.height == 24
    assert bundle.predict_frame(recent(0, 1.0)).height == 0
    with pytest.raises(InvalidFrameError):
        bundle.predict_frame(pl.DataFrame({"ts": [1]}))


def test_an_unknown_series_is_told(bundle: ForecasterBundle) -> None:
    with pytest.raises(UnknownSeriesError):
        bundle.forecast(12345)


def test_prophet_and_the_common_trees_travel_with_the_bundle() -> None:
    history = example()
    trees = learn([examples(history, 24)], seed=1)
    choice = select(history, Plan())
    weights = {"prophet": 0.5, trees.name: 0.5}
    mixed = type(choice)(weights=weights, errors=choice.errors)
    states = {"prophet": ProphetForecaster().fit(history).to_arrays()}
    first = ForecasterBundle(
        ForecastParts(
            entries={KEY: Entry(series=SERIES, history=history, choice=mixed, states=states)}, trees=trees
        )
    )
    second = ForecasterBundle.from_files(first.to_files())
    assert np.array_equal(first.forecast(KEY).yhat, second.forecast(KEY).yhat)
    moved = second.forecast(KEY, recent(6, 200.0))
    assert moved.yhat[0] > first.forecast(KEY).yhat[6]


def test_prophet_before_it_was_fitted_is_fitted_on_what_was_known_then() -> None:
    history = example()
    choice = replace(select(history, Plan()), weights={"prophet": 1.0})
    kept = {"prophet": ProphetForecaster().fit(history).to_arrays()}
    bundle = ForecasterBundle(
        ForecastParts(entries={KEY: Entry(series=SERIES, history=history, choice=choice, states=kept)})
    )
    hours = 48
    said = bundle.forecast(KEY, at=history.end - timedelta(hours=hours, minutes=-20))
    then = ProphetForecaster().fit(history.until(len(history) - hours)).predict(len(said.yhat))
    assert np.array_equal(said.yhat, then)


def test_prophet_knows_a_deploy_that_shifted_the_level() -> None:
    values = example(28).values.copy()
    at = 24 * 20
    values[at:] += 80
    start = datetime(2026, 1, 5, tzinfo=UTC)
    deploy = start + timedelta(hours=at)
    history = History(values=values, start=start, step_s=3_600, seasons=(24, 168), deploys=(deploy,))
    fitted = ProphetForecaster().fit(history)
    assert fitted.deploys == (deploy,)
    assert float(np.mean(fitted.predict(24))) == pytest.approx(180, abs=8)
