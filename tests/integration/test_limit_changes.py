"""A changed limit is an event, and two sources that contradict each other are shown, on a real store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from fakes.platform import platform_of

from core.batch import Batch, Declaration
from core.clock import FixedClock
from core.domain import EventKind, Role, Series
from core.frames import SAMPLES
from pipelines.collect.ingest import ingest_batch
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
    assert event.at == NOW + timedelta(hours=4)
    key = disk(store, None).series_id
    assert store.limit_changes.past_limits([key]) == {key: [(event.at, 100e9)]}


def test_a_limit_that_goes_back_and_forth_makes_few_events(store: Store) -> None:
    for minutes in range(40):
        clock = FixedClock(NOW + timedelta(minutes=minutes))
        limit = 1.0 + minutes % 2
        ingest_batch(platform_of(store, clock), "push", Batch(series=[disk(store, limit)]))
    assert len(store.events.between(NOW, NOW + DAY)) == 3


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
