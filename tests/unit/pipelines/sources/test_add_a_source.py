"""Follows the recipe "Add a source" of CONTRIBUTING: one file, and one line in `SOURCES`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from fakes.memory_store import MemoryStore, memory_platform

from core.batch import Batch
from core.clock import Clock, FixedClock
from core.domain import Series
from core.errors import UnavailableError
from core.frames import SAMPLES
from core.ports import MetricSource
from pipelines.collect.ingest import IngestReport
from pipelines.collect.pull import pull
from pipelines.sources.configured import SOURCES
from pipelines.sources.source_setup import SourceSetup

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Thermometer(MetricSource):
    """A toy source: one value for each hour since the last pull."""

    name = "thermometer"

    def __init__(self, tenant: str, clock: Clock) -> None:
        self._series = Series(tenant=tenant, service="office", metric="temperature_celsius", step_s=3600)
        self._clock = clock

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        return cls(setup.tenant, setup.clock)

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        now = self._clock.now()
        at = now - timedelta(hours=3) if cursor is None else datetime.fromisoformat(cursor)
        rows = []
        while (at := at + timedelta(hours=1)) <= now:
            rows.append((self._series.series_id, at, 21.0))
        frame = pl.DataFrame(rows, schema=SAMPLES, orient="row")
        yield Batch(series=[self._series], samples=frame, cursor=now.isoformat())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setitem(SOURCES, "thermometer", Thermometer.configured)  # the line of the recipe
    return MemoryStore()


def test_a_registered_source_is_pulled_and_its_samples_are_stored(store: MemoryStore) -> None:
    assert pull(memory_platform(store, FixedClock(NOON))) == IngestReport(inserted=3, series=1)
    (series,) = store.series.find(service="office")
    assert store.samples.latest().rows() == [(series.series_id, NOON, 21.0)]


def test_the_next_pull_continues_after_the_cursor(store: MemoryStore) -> None:
    pull(memory_platform(store, FixedClock(NOON)))
    later = memory_platform(store, FixedClock(NOON + timedelta(hours=2)))
    assert pull(later) == IngestReport(inserted=2, series=1)


def test_reports_of_several_sources_are_added(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Barometer(Thermometer):
        name = "barometer"

    monkeypatch.setitem(SOURCES, "barometer", Barometer.configured)
    report = pull(memory_platform(store, FixedClock(NOON)))
    # both write the same series, so each value is stored once
    assert report == IngestReport(inserted=3, duplicates=3, series=2)


def test_without_a_configured_source_nothing_is_pulled() -> None:
    assert pull(memory_platform(MemoryStore(), FixedClock(NOON))) is None


def test_a_source_that_does_not_answer_keeps_no_other_source_from_being_read(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Thermometer):
        name = "broken"

        def batches(self, cursor: str | None) -> Iterator[Batch]:
            raise UnavailableError("the thermometer does not answer")

    monkeypatch.setitem(SOURCES, "prometheus", Broken.configured)  # stands before the others
    with pytest.raises(UnavailableError, match="the thermometer does not answer"):
        pull(memory_platform(store, FixedClock(NOON)))
    assert store.samples.latest().height == 1
