"""A series that its sender ended is not silent: no finding begins, open ones close, and it goes on if it returns."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from fakes.platform import platform_of
from fakes.registry import KeptInMemory
from fakes.signals import make_signal

from core.clock import FixedClock
from core.domain import Series, Signal, SignalKind
from core.frames import SAMPLES, TIMES
from core.service_names import ServiceRule
from pipelines.common.tenant_platform import Platform
from pipelines.learn.train_detectors import train_detectors
from pipelines.sources.raw_series import series_of_labels
from pipelines.stores.store import Store
from pipelines.watch.detect import detect

END = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEP = 5 * MINUTE
HOSTS = ("web1", "web2", "web3")


def series_of(store: Store) -> dict[str, Series]:
    return {
        host: Series(tenant=store.tenant, service="shop", metric="temperature", labels={"host": host})
        for host in HOSTS
    }


def write(store: Store, host: str, start: datetime, end: datetime) -> None:
    times = pl.datetime_range(start, end, STEP, closed="left", time_zone="UTC", eager=True).cast(
        SAMPLES["ts"]
    )
    values = np.random.default_rng(len(times)).normal(50, 1, len(times))
    one = series_of(store)[host]
    store.samples.write(
        pl.DataFrame(
            {"series_id": [one.series_id] * len(times), "ts": times, "value": values}, schema=dict(SAMPLES)
        )
    )


def end_series(store: Store, host: str, at: datetime) -> None:
    store.series_ends.add(pl.DataFrame([(series_of(store)[host].series_id, at)], schema=TIMES, orient="row"))


@pytest.fixture
def platform(store: Store) -> Platform:
    """Three series whose history ends at `END`, and detectors for them."""
    store.series.register(series_of(store).values())
    for host in HOSTS:
        write(store, host, END - timedelta(days=8), END)
    platform = platform_of(store, FixedClock(END), registry=KeptInMemory())
    train_detectors(platform)
    return platform


def silences(store: Store) -> list[Signal]:
    return sorted(store.signals.find(kind=SignalKind.MISSING), key=lambda one: one.started_at)


def test_only_the_series_that_nobody_ended_is_silent(platform: Platform, store: Store) -> None:
    end_series(store, "web1", END)
    write(store, "web2", END, END + timedelta(hours=2))
    detect(platform, start=END, end=END + timedelta(hours=2))
    (one,) = silences(store)
    assert one.labels == {"host": "web3"}
    assert one.ended_at is None


def test_a_finding_closes_at_the_end_of_its_series(platform: Platform, store: Store) -> None:
    ids = {host: one.series_id for host, one in series_of(store).items()}
    anomaly = make_signal(
        "a", "shop", tenant=store.tenant, series_id=ids["web2"], started_at=END - 10 * MINUTE
    )
    store.signals.upsert([anomaly])
    write(store, "web1", END, END + timedelta(hours=3))
    later = END + timedelta(hours=1)
    detect(platform, start=END, end=later)
    (silence,) = silences(store)
    assert (silence.metric, silence.ended_at) == (None, None)  # web2 and web3
    for host in ("web2", "web3"):
        end_series(store, host, later + MINUTE)
    detect(platform, start=later, end=later + 10 * MINUTE)
    assert store.signals.get(silence.signal_id).ended_at == later + MINUTE
    assert store.signals.get("a").ended_at == later + MINUTE
    assert len(silences(store)) == 1


def test_a_series_that_returns_goes_on_and_can_fall_silent_again(platform: Platform, store: Store) -> None:
    for host in ("web1", "web2"):
        write(store, host, END, END + timedelta(hours=9))
    end_series(store, "web3", END)
    back = END + timedelta(hours=4)
    write(store, "web3", back, back + timedelta(hours=1))
    detect(platform, start=END, end=back + timedelta(minutes=30))
    assert silences(store) == []  # also no finding about the past
    detect(platform, start=back + timedelta(minutes=30), end=back + timedelta(hours=3))
    (one,) = silences(store)
    assert (one.labels, one.started_at, one.ended_at) == ({"host": "web3"}, back + timedelta(hours=1), None)


def test_an_old_end_closes_nothing_after_later_samples(platform: Platform, store: Store) -> None:
    end_series(store, "web3", END - timedelta(days=3) + MINUTE)
    for host in ("web1", "web2"):
        write(store, host, END, END + timedelta(days=3))
    detect(platform, start=END, end=END + timedelta(hours=2))
    (one,) = silences(store)
    detect(platform, start=END + timedelta(days=2), end=END + timedelta(days=3))
    assert store.signals.get(one.signal_id).ended_at is None


def test_a_dead_exporter_is_found_by_its_up_with_its_host(store: Store) -> None:
    """Prometheus marks the end of all series of a target that it cannot scrape, and `up` goes on with 0."""
    up = {
        host: series_of_labels(
            store.tenant,
            "up",
            {"__name__": "up", "job": "node", "instance": f"{host}:9100"},
            counter=False,
            step_s=300,
            services=ServiceRule(),
        )
        for host in HOSTS
    }
    store.series.register([*up.values(), *series_of(store).values()])
    later = END + timedelta(hours=1)
    for host in HOSTS:
        write(store, host, END - timedelta(days=8), END if host == "web2" else later)
        times = pl.datetime_range(
            END - timedelta(days=8), later, STEP, closed="left", time_zone="UTC", eager=True
        ).cast(SAMPLES["ts"])
        values = [0.0 if host == "web2" and at >= END else 1.0 for at in times]
        store.samples.write(
            pl.DataFrame(
                {"series_id": [up[host].series_id] * len(times), "ts": times, "value": values},
                schema=dict(SAMPLES),
            )
        )
    platform = platform_of(store, FixedClock(END), registry=KeptInMemory())
    train_detectors(platform, at=END)
    end_series(store, "web2", END)
    detect(platform, start=END, end=later)
    (signal,) = store.signals.find(suppressed=False)
    assert (signal.metric, signal.labels) == ("up", {"instance": "web2:9100"})
    assert signal.ended_at is None
    assert "web2" in signal.summary
