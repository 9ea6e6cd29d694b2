"""Train, forecast, warn and take back, on a real database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from fakes.platform import advanced, platform_of
from fakes.registry import KeptInMemory

from core.clock import FixedClock
from core.domain import Role, Series, SignalKind
from core.errors import ModelUnavailableError
from core.frames import SAMPLES
from models.causes.incidents import correlate
from pipelines.common.service_graph import service_graph
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_forecasters import train_forecasters
from pipelines.plots.of_signals import plot_signal
from pipelines.stores.store import Store
from pipelines.watch.capacity import capacity
from pipelines.watch.forecast import forecast

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 21
PER_DAY = 288


def series_of(tenant: str) -> list[Series]:
    return [
        Series(
            tenant=tenant,
            service="orders-db",
            metric="disk_used_bytes",
            unit="bytes",
            role=Role.CAPACITY,
            limit=100 * 2.0**30,
        ),
        Series(tenant=tenant, service="shop", metric="requests_per_second", role=Role.TRAFFIC),
        Series(tenant=tenant, service="shop", metric="cpu_temperature"),
    ]


def write(
    store: Store, end: datetime, *, filling_gib_an_hour: float, hours: int, since_h: float = 8.0
) -> None:
    """The last `hours` before `end`: load by the day, and a disk that filled for the last hours."""
    count = hours * 12
    back_h = np.arange(count, 0, -1) / 12
    rng = np.random.default_rng(int(end.timestamp()) % 1_000)
    ts = [end - timedelta(minutes=5 * int(number)) for number in range(count, 0, -1)]
    disk = 40 + filling_gib_an_hour * np.clip(since_h - back_h, 0, None) + rng.normal(0, 0.2, count)
    hour = np.array([moment.hour + moment.minute / 60 for moment in ts])
    load = 100 + 40 * np.sin(2 * np.pi * hour / 24) + rng.normal(0, 3, count)
    one, two, three = series_of(store.tenant)
    store.series.register([one, two, three])
    columns = {one.series_id: disk * 2**30, two.series_id: load, three.series_id: np.full(count, 50.0)}
    store.samples.write(
        pl.concat(
            pl.DataFrame({"series_id": [key] * count, "ts": ts, "value": values}, schema=dict(SAMPLES))
            for key, values in columns.items()
        )
    )


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, FixedClock(NOW), registry=KeptInMemory())


def test_a_filling_disk_raises_a_signal_that_is_withdrawn_once_it_is_emptied(
    platform: Platform, store: Store
) -> None:
    write(store, NOW, filling_gib_an_hour=5.0, hours=DAYS * 24)
    trained = train_forecasters(platform)
    assert trained.trained == 2
    assert trained.metrics["coverage_80"] > 0.5

    first = forecast(platform)
    assert first.series == 2
    [warning] = first.signals
    assert warning.summary.startswith("disk of orders-db is full in ")
    assert warning.breach is not None
    assert warning.breach.when is not None
    hours_left = (98 - 80) / 5.0
    assert warning.breach.when.p10 < NOW + timedelta(hours=hours_left) < warning.breach.when.p90
    assert warning.model is not None

    # The 90-day view says what the alert says, though nothing grew for three weeks.
    [disk] = capacity(platform)
    assert disk.runs_out == warning.breach.when
    assert disk.per_day / 2**30 == pytest.approx(5.0 * 24, rel=0.4)

    figure = plot_signal(platform, warning)
    assert figure.axes[0].get_title(loc="left").startswith("disk of orders-db is full in ")

    stored = store.forecasts.latest_all()
    assert stored.get_column("series_id").n_unique() == 2
    assert (stored["lo_95"] <= stored["lo_80"]).all()
    assert (stored["hi_80"] <= stored["hi_95"]).all()

    # The same run again changes nothing.
    again = forecast(platform)
    assert again.signals == first.signals
    assert len(platform.store.signals.find(kind=SignalKind.BREACH)) == 1

    # Somebody empties the disk: the signal is withdrawn, under the same id.
    after = advanced(platform, hours=3)
    write(store, NOW + timedelta(hours=3), filling_gib_an_hour=0.0, hours=3)
    taken = forecast(after)
    assert taken.signals == ()
    assert [signal.signal_id for signal in taken.withdrawn] == [warning.signal_id]
    [kept] = platform.store.signals.find(kind=SignalKind.BREACH)
    assert kept.ended_at == taken.at
    assert kept.summary.startswith("Withdrawn")
    assert capacity(after)[0].runs_out is None

    # And it does not come back by itself.
    assert forecast(after).withdrawn == ()


def test_a_resized_disk_and_a_new_slo_count_in_the_next_cycle_without_training(
    platform: Platform, store: Store
) -> None:
    write(store, NOW, filling_gib_an_hour=5.0, hours=DAYS * 24)
    train_forecasters(platform)
    disk = series_of(platform.tenant)[0]
    [warning] = forecast(platform).signals
    assert capacity(platform)[0].runs_out is not None

    store.series.register([replace(disk, limit=1_000 * 2.0**30)])
    resized = forecast(platform)
    assert resized.signals == ()
    assert [signal.signal_id for signal in resized.withdrawn] == [warning.signal_id]
    [planned] = capacity(platform)
    assert planned.breach.threshold == pytest.approx(980 * 2.0**30)
    assert planned.runs_out is None
    assert planned.used == pytest.approx(0.08, abs=0.01)

    store.series.register([replace(disk, slo_threshold=90 * 2.0**30)])
    [again] = forecast(platform).signals
    assert again.breach is not None
    assert again.breach.threshold == 90 * 2.0**30


def test_without_a_model_the_error_says_so(platform: Platform, store: Store) -> None:
    write(store, NOW, filling_gib_an_hour=0.0, hours=24)
    with pytest.raises(ModelUnavailableError):
        forecast(platform)


def test_training_twice_gives_the_same_files(platform: Platform, store: Store) -> None:
    write(store, NOW, filling_gib_an_hour=1.0, hours=DAYS * 24)
    registry = platform.registry
    assert isinstance(registry, KeptInMemory)
    train_forecasters(platform)
    first = registry.files
    train_forecasters(platform)
    assert first == registry.files


def test_nothing_after_the_present_is_learned_from(platform: Platform, store: Store) -> None:
    write(store, NOW, filling_gib_an_hour=1.0, hours=DAYS * 24)
    registry = platform.registry
    assert isinstance(registry, KeptInMemory)
    at = NOW - timedelta(days=2)
    train_forecasters(platform, at=at)
    first = registry.files
    one = series_of(platform.tenant)[0].series_id
    spike = pl.DataFrame(
        {"series_id": [one], "ts": [NOW + timedelta(minutes=1)], "value": [1e15]}, schema=dict(SAMPLES)
    )
    platform.store.samples.write(spike)
    train_forecasters(platform, at=at)
    assert first == registry.files


def test_the_capacity_view_orders_what_runs_out(platform: Platform, store: Store) -> None:
    write(store, NOW, filling_gib_an_hour=0.05, hours=DAYS * 24, since_h=DAYS * 24.0)
    train_forecasters(platform)
    [disk] = capacity(platform)
    assert disk.series.metric == "disk_used_bytes"
    assert disk.per_day / 2**30 == pytest.approx(1.2, rel=0.1)
    assert disk.breach.when is not None


def test_errors_that_follow_a_full_disk_are_foreseen_with_it_as_one_trouble(platform: Platform) -> None:
    """Errors show nothing before they jump; five full disks of the past tell when they will."""
    tenant = platform.store.tenant
    disk = series_of(tenant)[0]
    errors = Series(
        tenant=tenant,
        service="checkout",
        metric="error_ratio",
        unit="ratio",
        role=Role.ERRORS,
        slo_threshold=0.01,
        labels={"depends_on": "orders-db"},
    )
    count = DAYS * PER_DAY
    rng = np.random.default_rng(8)
    hours = np.arange(count) / 12
    since_full = np.full(count, np.inf)
    used = 40 + rng.normal(0, 0.2, count)
    for day in (3, 6, 10, 13, 17):
        filling_h = hours - (24 * day - 12)
        during = (filling_h >= 0) & (filling_h < 13)
        used[during] += np.minimum(5.0 * filling_h[during], 60.0)
        full = during & (used >= 98)
        since_full[full] = hours[full] - hours[full][0]
    used += 5.0 * np.clip(hours - (hours[-1] - 8), 0, None)
    ratio = np.where((since_full >= 0.3) & (since_full < 2), 0.05, 0.001) * rng.uniform(0.8, 1.2, count)
    ts = [NOW - timedelta(minutes=5 * int(back)) for back in range(count, 0, -1)]
    platform.store.series.register([disk, errors])
    for one, values in ((disk, used * 2**30), (errors, ratio)):
        frame = pl.DataFrame(
            {"series_id": [one.series_id] * count, "ts": ts, "value": values}, schema=dict(SAMPLES)
        )
        platform.store.samples.write(frame)
    train_forecasters(platform)
    before_the_fill = forecast(platform, at=NOW - timedelta(hours=9))
    assert before_the_fill.signals == ()

    found = {signal.service: signal for signal in forecast(platform).signals}
    cause, effect = found["orders-db"], found["checkout"]
    assert effect.summary.endswith(
        ". Likely cause: disk of orders-db is full. This followed in 5 of 5 earlier cases."
    )
    assert effect.breach is not None
    assert effect.breach.when is not None
    hours_left = (98 - 80) / 5.0 + 0.3
    assert effect.breach.when.p10 < NOW + timedelta(hours=hours_left) < effect.breach.when.p90
    assert effect.breach.probability_by_horizon_s[6 * 3_600] > 0.5
    [trouble] = correlate(found.values(), service_graph(None, [errors]))
    assert trouble.service == "orders-db"
    assert trouble.first.signal_id in {cause.signal_id, effect.signal_id}
    assert plot_signal(platform, effect).axes[0].get_title(loc="left").startswith("error of checkout passes")
