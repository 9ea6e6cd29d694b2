"""A changed limit is an event, and two sources that contradict each other are shown, on a real store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from fakes.platform import platform_of

from core.batch import Batch, Declaration
from core.clock import FixedClock
from core.domain import EventKind, Role, Series, SeriesKind
from core.frames import SAMPLES
from core.resizes import resize_event
from models.breach.bundle import BreachBundle
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import histories
from models.forecast.recent import recent_of
from pipelines.collect.ingest import ingest_batch
from pipelines.common.forecasters import in_present_sizes
from pipelines.operate.status_of_data import contradictions
from pipelines.sources.sidecars import Sidecars
from pipelines.stores.store import Store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)


def disk(store: Store, limit: float | None) -> Series:
    return Series(
        tenant=store.tenant,
        service="web1",
        metric="disk_used_bytes",
        labels={"mount": "/var"},
        unit="bytes",
        role=Role.CAPACITY,
        limit=limit,
    )


def test_a_changed_limit_is_an_event_and_the_limit_before_it_is_kept(store: Store) -> None:
    for hours, limit in ((0, None), (1, 100e9), (2, 100e9), (3, None), (4, 200e9)):
        clock = FixedClock(NOW + timedelta(hours=hours))
        ingest_batch(platform_of(store, clock), "push", Batch(series=[disk(store, limit)]))
    [event] = store.events.between(NOW, NOW + DAY)
    assert (event.service, event.kind) == ("web1", EventKind.CONFIG_CHANGE)
    assert event.title == "web1 /var disk_used_bytes: limit from 93.1 GiB to 186 GiB"
    assert (event.metric, event.labels) == ("disk_used_bytes", {"mount": "/var"})
    assert event.at == NOW + timedelta(hours=4)
    key = disk(store, None).series_id
    assert store.limit_changes.past_limits([key]) == {key: [(event.at, 100e9)]}


def test_a_limit_that_goes_back_and_forth_makes_few_events(store: Store) -> None:
    for minutes in range(40):
        clock = FixedClock(NOW + timedelta(minutes=minutes))
        limit = 1.0 + minutes % 2
        ingest_batch(platform_of(store, clock), "push", Batch(series=[disk(store, limit)]))
    assert len(store.events.between(NOW, NOW + DAY)) == 3


def test_forecasts_read_resizes_from_the_events_and_the_samples(store: Store) -> None:
    used, other = (
        replace(
            disk(store, 1.0),
            metric="disk_used_ratio",
            kind=SeriesKind.RATIO,
            unit="ratio",
            labels={"mount": mount},
        )
        for mount in ("/var", "/")
    )
    resized = NOW - timedelta(hours=3)
    times = pl.datetime_range(NOW - DAY, NOW, "5m", closed="left", eager=True, time_zone="UTC")
    values = [0.8 if at < resized else 0.4 for at in times]
    frames = [
        pl.DataFrame(
            {"series_id": [one.series_id] * len(times), "ts": times, "value": values}, schema=SAMPLES
        )
        for one in (used, other)
    ]
    event = resize_event(used, "size", 1e11, 2e11, unit="bytes", at=resized)
    platform = platform_of(store, FixedClock(NOW))
    ingest_batch(platform, "push", Batch(series=[used, other], samples=pl.concat(frames), events=[event]))
    samples = store.samples.read(NOW - DAY, NOW)
    series = {one.series_id: one for one in (used, other)}
    past = histories(samples, series, step_s=3_600, end=NOW - timedelta(hours=2), steps=20)
    entries = {
        key: Entry(series=series[key], history=one, choice=select(one, Plan(origins=2)))
        for key, one in past.items()
    }
    bundle = BreachBundle(ForecasterBundle(ForecastParts(entries=entries)))
    adapted, recent = in_present_sizes(platform, bundle, NOW), recent_of(samples)
    assert adapted.present(used.series_id, recent[used.series_id], NOW).values == pytest.approx(0.4)
    assert max(adapted.present(other.series_id, recent[other.series_id], NOW).values) == pytest.approx(0.8)


def test_status_shows_two_senders_that_declare_one_metric_differently(store: Store) -> None:
    platform = platform_of(store, FixedClock(NOW))
    for source, kind in (("prometheus:a", "counter"), ("prometheus:a", "gauge"), ("remote_write", "counter")):
        ingest_batch(platform, source, Batch(metric_types={"jobs": kind}))
    [part] = contradictions(platform)
    assert part.problem is not None
    assert "The type of jobs is declared counter by remote_write and gauge by prometheus:a." in part.problem
    assert not list(contradictions(platform_of(store, FixedClock(NOW + 2 * DAY))))


def test_status_shows_where_series_csv_contradicts_a_sender(store: Store) -> None:
    one = replace(disk(store, None), metric="latency", unit="seconds")
    facts = {"kind": "counter", "unit": "ms"}
    declared = Declaration(line=2, service=None, metric="latency", labels={}, facts=facts)
    batch = Sidecars(declarations=[declared]).added_to(
        Batch(series=[one], samples=pl.DataFrame(schema=SAMPLES))
    )
    platform = platform_of(store, FixedClock(NOW))
    ingest_batch(platform, "csv:/data", batch)
    kind, unit = contradictions(platform)
    assert (kind.name, kind.state) == (
        "kind of latency",
        "declared gauge by csv:/data and counter by series.csv",
    )
    assert kind.problem is not None
    assert unit.state.startswith("declared seconds by csv:/data and ms by series.csv. Correct")
    assert unit.problem is None
