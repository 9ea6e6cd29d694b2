"""A store in memory, with the repositories that ingesting uses."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import polars as pl
from fakes.ports import FreeLocks

from core.alert_changes import AlertChange
from core.clock import Clock
from core.counters import CounterRepository, MetricTypeRepository
from core.counts import CursorState, DeadLetterCount
from core.cursors import CursorRepository
from core.dead_letters import EVERY_DEAD_LETTER, DeadLetter, DeadLetterFilter, DeadLetterRepository
from core.domain import Event, Incident, Role, Series, SeriesKind
from core.errors import UnknownSeriesError
from core.frames import SAMPLES
from core.limit_changes import LimitChange
from core.ports import (
    EventRepository,
    IncidentRepository,
    Result,
    SampleRepository,
    SeriesRepository,
    Store,
    WriteResult,
)
from core.settings import Settings
from core.source_states import SourceState, SourceStateRepository
from pipelines.common.tenant_platform import Platform


class MemorySeries(SeriesRepository):
    def __init__(self) -> None:
        self.by_id: dict[int, Series] = {}

    def register(self, series: Iterable[Series]) -> list[LimitChange]:
        """It reports no changed limits."""
        self.by_id.update({one.series_id: one for one in series})
        return []

    def hold(self) -> None:
        """One thread alone writes to this store."""

    def find(
        self, *, service: str | None = None, metric: str | None = None, role: Role | None = None
    ) -> list[Series]:
        wanted = {"service": service, "metric": metric, "role": role}
        return [
            one
            for one in self.by_id.values()
            if all(value is None or getattr(one, name) == value for name, value in wanted.items())
        ]

    def get(self, series_id: int) -> Series:
        if series_id not in self.by_id:
            raise UnknownSeriesError(f"there is no series {series_id}")
        return self.by_id[series_id]

    def propose(self, thresholds: Mapping[int, float | None]) -> None:
        for key, threshold in thresholds.items():
            self.by_id[key] = replace(self.by_id[key], proposed_threshold=threshold)

    def known(self, series_ids: Sequence[int]) -> set[int]:
        return set(series_ids) & set(self.by_id)

    def of_metrics(self, metrics: Sequence[str]) -> list[Series]:
        return [one for one in self.by_id.values() if one.metric in metrics]

    def kinds_and_steps(self, series_ids: Sequence[int]) -> dict[int, tuple[SeriesKind, int]]:
        return {one: (self.by_id[one].kind, self.by_id[one].step_s) for one in self.known(series_ids)}


class MemorySamples(SampleRepository):
    """Keeps the first value of each series and time; it does not report conflicts."""

    def __init__(self) -> None:
        self.frame = pl.DataFrame(schema=SAMPLES)

    def write(self, frame: pl.DataFrame) -> WriteResult:
        before = self.frame.height
        self.frame = pl.concat([self.frame, frame]).unique(
            ["series_id", "ts"], keep="first", maintain_order=True
        )
        inserted = self.frame.height - before
        conflicts = pl.DataFrame(schema={**SAMPLES, "stored": pl.Float64})
        return WriteResult(inserted=inserted, duplicates=frame.height - inserted, conflicts=conflicts)

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        chosen = pl.lit(True) if series_ids is None else pl.col("series_id").is_in(series_ids)
        inside = (pl.col("ts") >= start) & (pl.col("ts") < end)
        return self.frame.filter(chosen & inside).sort("series_id", "ts")

    def latest(self) -> pl.DataFrame:
        return self.frame.sort("ts").group_by("series_id", maintain_order=True).last().sort("series_id")

    def span(self) -> tuple[datetime, datetime] | None:
        times = self.frame["ts"].to_list()
        return (min(times), max(times)) if times else None

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        return {key: ts for key, ts, _ in self.latest().iter_rows() if key in set(series_ids)}

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        return times.join(self.frame, on=["series_id", "ts"], how="semi")

    def remove(self, series_id: int) -> int:
        before = self.frame.height
        self.frame = self.frame.filter(pl.col("series_id") != series_id)
        return before - self.frame.height


class MemoryCounters(CounterRepository):
    def __init__(self) -> None:
        self.frame = pl.DataFrame(schema=SAMPLES)

    def recent(self, series_ids: Sequence[int], *, lock: bool = True) -> pl.DataFrame:
        return self.frame.filter(pl.col("series_id").is_in(list(series_ids)))

    def save(self, counts: pl.DataFrame) -> None:
        self.forget(counts["series_id"].unique().to_list())
        self.frame = pl.concat([self.frame, counts.select(*SAMPLES)])

    def forget(self, series_ids: Sequence[int]) -> None:
        self.frame = self.frame.filter(~pl.col("series_id").is_in(list(series_ids)))


class MemoryMetricTypes(MetricTypeRepository):
    def __init__(self) -> None:
        self.types: dict[str, str] = {}

    def hold(self, *, change: bool = False) -> None:
        """Nobody else uses this store."""

    def declared(self, metrics: Sequence[str] | None = None) -> dict[str, str]:
        return {name: kind for name, kind in self.types.items() if metrics is None or name in metrics}

    def declare(self, types: Mapping[str, str], source: str = "") -> None:
        self.types.update(types)

    def sources(self, metrics: Sequence[str]) -> dict[str, str]:
        """It does not know who declared a type."""
        return {}


class MemoryEvents(EventRepository):
    def __init__(self) -> None:
        self.by_id: dict[str, Event] = {}

    def add(self, events: Iterable[Event]) -> int:
        before = len(self.by_id)
        self.by_id.update({event.event_id: event for event in events})
        return len(self.by_id) - before

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Event]:
        return [event for event in self.by_id.values() if start <= event.at < end]


class MemoryIncidents(IncidentRepository):
    def __init__(self) -> None:
        self.by_id: dict[str, Incident] = {}

    def add(self, incidents: Iterable[Incident]) -> int:
        before = len(self.by_id)
        self.by_id.update({incident.incident_id: incident for incident in incidents})
        return len(self.by_id) - before

    def change(self, changes: Iterable[AlertChange]) -> int:
        """Open and end incidents, of changes that arrive in the order of time."""
        before = len(self.by_id)
        for one in changes:
            same = [
                i for i in self.by_id.values() if (i.service, i.type, i.end) == (one.service, one.type, None)
            ]
            if one.firing and not same:
                self.add([_started_by(one)])
            elif not one.firing:
                self.add([replace(incident, end=one.at) for incident in same])
        return len(self.by_id) - before

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Incident]:
        return [incident for incident in self.by_id.values() if start <= incident.start < end]


class MemoryDeadLetters(DeadLetterRepository):
    def __init__(self) -> None:
        self.rows: set[tuple[str, str, str]] = set()

    def add(self, source: str, rejected: pl.DataFrame) -> int:
        before = len(self.rows)
        self.rows |= {(source, row, reason) for row, reason in rejected.iter_rows()}
        return len(self.rows) - before

    def count(self) -> int:
        return len(self.rows)

    def by_reason(
        self, which: DeadLetterFilter = EVERY_DEAD_LETTER, limit: int | None = None
    ) -> list[DeadLetterCount]:
        raise AssertionError("MemoryDeadLetters does not support by_reason")

    def lock_next(self, which: DeadLetterFilter, after: int, limit: int, max_chars: int) -> list[DeadLetter]:
        raise AssertionError("MemoryDeadLetters does not support lock_next")

    def remove(self, letter_ids: Sequence[int]) -> int:
        raise AssertionError("MemoryDeadLetters does not support remove")

    def put_back(self, letters: Sequence[DeadLetter]) -> int:
        raise AssertionError("MemoryDeadLetters does not support put_back")

    def list(
        self,
        limit: int = 100,
        which: DeadLetterFilter = EVERY_DEAD_LETTER,
        max_chars: int | None = None,
    ) -> list[DeadLetter]:
        raise AssertionError("MemoryDeadLetters does not support list")


class MemoryCursors(CursorRepository):
    def __init__(self) -> None:
        self.by_source: dict[str, str] = {}

    def get(self, source: str) -> str | None:
        return self.by_source.get(source)

    def set(self, source: str, cursor: str) -> None:
        self.by_source[source] = cursor

    def advance(self, source: str, known: str | None, cursor: str) -> bool:
        if self.by_source.get(source) != known:
            return False
        self.by_source[source] = cursor
        return True

    def list(self) -> list[CursorState]:
        raise AssertionError("MemoryCursors does not support list")


class MemorySourceStates(SourceStateRepository):
    def __init__(self) -> None:
        self.by_source: dict[str, SourceState] = {}

    def failed(self, source: str, at: datetime, error: str) -> None:
        known = self.by_source.get(source)
        since = at if known is None or known.failing_since is None else known.failing_since
        notes = () if known is None else known.notes
        self.by_source[source] = SourceState(source=source, failing_since=since, error=error, notes=notes)

    def worked(self, source: str, notes: Sequence[str] | None) -> None:
        known = self.by_source.get(source)
        kept = () if known is None else known.notes
        self.by_source[source] = SourceState(
            source=source, failing_since=None, error="", notes=kept if notes is None else tuple(notes)
        )

    def list(self) -> list[SourceState]:
        return [self.by_source[source] for source in sorted(self.by_source)]


class MemoryStore:
    """The part of `core.ports.Store` that ingesting uses; any other repository fails at once."""

    def __init__(self, tenant: str = "t") -> None:
        self.tenant = tenant
        self.series = MemorySeries()
        self.samples = MemorySamples()
        self.counters = MemoryCounters()
        self.metric_types = MemoryMetricTypes()
        self.events = MemoryEvents()
        self.incidents = MemoryIncidents()
        self.dead_letters = MemoryDeadLetters()
        self.cursors = MemoryCursors()
        self.source_states = MemorySourceStates()
        self.locks = FreeLocks()

    @contextmanager
    def atomically(self) -> Iterator[None]:
        yield

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        return work()


def memory_platform(store: MemoryStore, clock: Clock, settings: Settings | None = None) -> Platform:
    """A platform over a store in memory, without a registry, features or sinks."""
    return Platform(
        settings=settings or Settings(_env_file=None),
        tenant=store.tenant,
        store=cast(Store, store),
        registry=cast(Any, None),
        models=cast(Any, None),
        features=cast(Any, None),
        sinks=(),
        clock=clock,
    )


def _started_by(change: AlertChange) -> Incident:
    return Incident(
        tenant=change.tenant,
        service=change.service,
        type=change.type,
        severity=change.severity,
        start=change.at,
    )
