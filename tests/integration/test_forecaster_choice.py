"""The forecasters that a setting selects are trained, saved, loaded and served, among them a contributor's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from fakes.platform import advanced, platform_of
from fakes.registry import KeptInMemory

from core.arrays import FloatArray
from core.clock import FixedClock
from core.domain import Role, Series
from core.errors import ConfigurationError, InsufficientDataError
from core.frames import SAMPLES
from core.settings import Settings
from models.breach.bundle import BreachBundle
from models.forecast import catalog
from models.forecast.checks import CHECKS
from models.forecast.protocols import History
from models.forecast.states import Arrays
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_forecasters import train_forecasters
from pipelines.stores.store import Store
from pipelines.watch.forecast import forecast as watch_forecast
from serving.contract.requests import ForecastRequest
from serving.endpoints.forecast import forecast as serve_forecast
from serving.state.loaded_models import LoadedModels
from serving.state.tenants import TenantContext

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FittedLastDay:
    """The toy forecaster after its fit."""

    day: FloatArray

    def predict(self, horizon_steps: int) -> FloatArray:
        return np.resize(self.day, horizon_steps)

    def to_arrays(self) -> Arrays:
        return {"day": self.day}


@dataclass(frozen=True)
class LastDay:
    """A toy forecaster, as a contributor writes it: the last day again. It stores its state."""

    name: str = "last_day"

    def fit(self, history: History) -> FittedLastDay:
        known = np.isfinite(history.values)
        if int(known.sum()) < 2:
            raise InsufficientDataError("the last day needs two values")
        positions = np.arange(len(history))
        filled = np.interp(positions, positions[known], history.values[known])
        return FittedLastDay(filled[-history.seasons[0] :] if history.seasons else filled[-1:])

    def from_arrays(self, arrays: Arrays) -> FittedLastDay:
        return FittedLastDay(arrays["day"])


def series_of(tenant: str) -> Series:
    return Series(tenant=tenant, service="shop", metric="requests_per_second", role=Role.TRAFFIC)


def write(store: Store, start: datetime, hours: int) -> None:
    """Hourly load with a daily course, whose noise of one hour carries over to the next."""
    rng = np.random.default_rng(int(start.timestamp()) % 1_000)
    hour = np.arange(hours)
    noise = np.zeros(hours)
    for step in range(1, hours):
        noise[step] = 0.7 * noise[step - 1] + rng.normal(0, 6)
    values = 100 + 10 * np.sin(2 * np.pi * (hour + start.hour) / 24) + noise
    one = series_of(store.tenant)
    store.series.register([one])
    ts = [start + timedelta(hours=step, minutes=30) for step in range(hours)]
    frame = pl.DataFrame(
        {"series_id": [one.series_id] * hours, "ts": ts, "value": values}, schema=dict(SAMPLES)
    )
    store.samples.write(frame)


def platform_with(store: Store, forecasters: Sequence[str]) -> Platform:
    settings = Settings(_env_file=None, forecasters=tuple(forecasters))
    return platform_of(store, FixedClock(NOW), settings=settings, registry=KeptInMemory())


def assert_is_served(platform: Platform, store: Store, member: str) -> None:
    """Load what training registered, and forecast three hours later: in a watch cycle and over `/forecast`."""
    _, files = platform.registry.load("forecaster")
    bundle = BreachBundle.from_files(files).forecasters
    one = series_of(store.tenant)
    entry = bundle.entry(one.series_id)
    assert entry.choice.weights[member] > 0
    assert set(entry.states) == {member}
    assert bundle.to_files() == {name: files[name] for name in bundle.to_files()}
    write(store, NOW, 3)
    later = advanced(platform, hours=3)
    assert watch_forecast(later).series == 1
    stored = store.forecasts.latest_all().sort("ts")
    context = TenantContext(later, LoadedModels(later.registry, retry_s=60))
    request = ForecastRequest(service=one.service, metric=one.metric, horizon_s=24 * 3_600)
    served = serve_forecast(context, request)
    recent = store.samples.read(entry.history.end, NOW + timedelta(hours=3))
    expected = bundle.forecast(one.series_id, recent)
    assert expected.made_at == served.made_at == entry.history.end + timedelta(hours=3)
    assert [point.yhat for point in served.points] == expected.yhat.tolist()
    assert stored["yhat"].to_list() == pytest.approx(expected.yhat.tolist())


def test_arima_is_trained_stored_and_served(store: Store) -> None:
    platform = platform_with(store, ["seasonal_naive", "auto_arima"])
    write(store, NOW - timedelta(days=12), 12 * 24)
    trained = train_forecasters(platform)
    assert trained.trained == 1
    assert trained.metrics["share_auto_arima"] == pytest.approx(0.2)
    assert_is_served(platform, store, "auto_arima")


def test_a_new_forecaster_follows_the_recipe_of_contributing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "FAST", (*catalog.FAST, LastDay()))  # the line of the recipe
    for check in CHECKS:
        check(LastDay())
    platform = platform_with(store, ["last_day", "level"])
    write(store, NOW - timedelta(days=12), 12 * 24)
    train_forecasters(platform)
    assert_is_served(platform, store, "last_day")


def test_a_forecaster_can_be_the_only_member(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "EXPENSIVE", (*catalog.EXPENSIVE, LastDay()))
    platform = platform_with(store, ["last_day"])
    write(store, NOW - timedelta(days=12), 12 * 24)
    assert train_forecasters(platform).metrics["share_last_day"] == 1.0
    assert_is_served(platform, store, "last_day")


def test_an_unknown_forecaster_stops_the_training_before_it_reads(store: Store) -> None:
    with pytest.raises(ConfigurationError, match=r"no forecaster arima; .*pool, .*auto_arima"):
        train_forecasters(platform_with(store, ["arima"]))
