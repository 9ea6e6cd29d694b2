"""What the pipelines need from the outside world; `pipelines/wiring.py` chooses who provides it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import polars as pl

from core.alert_changes import AlertChange
from core.archive import ArchiveRepository
from core.batch import Batch
from core.contradictions import ContradictionRepository
from core.counters import CounterRepository, MetricTypeRepository
from core.counts import SignalCounts
from core.cursors import CursorRepository
from core.dead_letters import DeadLetterRepository
from core.diagnosis import DiagnosisRepository, Feedback, TransitionRepository
from core.domain import Event, Incident, ModelRef, Role, Series, SeriesKind, Signal, SignalKind
from core.intake import IntakeRepository
from core.limit_changes import LimitChange, LimitChangeRepository
from core.locks import LockRepository
from core.logs import LogRepository
from core.outbox import DeliveryRepository
from core.pushed import PushedRepository
from core.retention import RetentionPolicy
from core.series_ends import NativeHistogramRepository, SeriesEndRepository
from core.source_states import SourceStateRepository
from core.traces import ServiceEdgeRepository, SpanRepository
from core.watch_cycles import WatchCycleRepository

Result = TypeVar("Result")


class MetricSource(Protocol):
    """Somewhere that metrics come from; reading it twice gives the same batches."""

    @property
    def name(self) -> str:
        """Names the source and its place, for dead letters and cursors: `csv:/path/to/dir`."""
        ...

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All there is after `cursor` (null: from the start), in the order of time where there is one.

        Raises:
            InputError: the place does not exist or is not of this kind.
            UnavailableError: the server does not answer.
        """
        ...


class FeatureStore(Protocol):
    """Features by service and time: the same numbers for training and for serving."""

    def materialize(self, start: datetime, end: datetime) -> int:
        """Bring features of that span online; returns how many services are online."""
        ...

    def training_frame(self, entities: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        """Features as they were known at each `service_id`, `ts` of `entities` (point in time)."""
        ...

    def online(
        self, service_ids: Sequence[str], features: Sequence[str], *, until: datetime | None = None
    ) -> pl.DataFrame:
        """The newest features of each service, in the order of `service_ids`: service_id, ts and the features.

        Args:
            until: later ones are ignored, as far as the store remembers earlier ones.
        """
        ...


class SignalSink(Protocol):
    """A receiver of signals; delivery is at least once, and `signal_id` lets it drop repeats."""

    @property
    def name(self) -> str: ...

    def send(self, signals: Sequence[Signal]) -> None:
        """Deliver, or raise so that the delivery is tried again.

        Raises:
            UnavailableError: the receiver is down or said no; nothing is lost.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """What became of the samples of one write.

    Attributes:
        duplicates: samples that were stored already, with the same value.
        conflicts: samples whose time has another value already, which stays: series_id, ts, value, stored.
    """

    inserted: int
    duplicates: int
    conflicts: pl.DataFrame


class SeriesRepository(Protocol):
    def register(self, series: Iterable[Series]) -> list[LimitChange]:
        """Store series, or update what is known of them, without taking a limit away; returns replaced limits."""
        ...

    def hold(self) -> None:
        """Let no other transaction change series, or store the first counts of counters, until the end of this one."""
        ...

    def find(
        self, *, service: str | None = None, metric: str | None = None, role: Role | None = None
    ) -> list[Series]:
        """All series with that service, metric and role (null: any), by name."""
        ...

    def get(self, series_id: int) -> Series:
        """One series.

        Raises:
            UnknownSeriesError: this tenant has no series with that id.
        """
        ...

    def propose(self, thresholds: Mapping[int, float | None]) -> None:
        """Store the proposed threshold of each of these series; null: none is proposed."""
        ...

    def known(self, series_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are series of this tenant."""
        ...

    def of_metrics(self, metrics: Sequence[str]) -> list[Series]:
        """The series of these metrics."""
        ...

    def kinds_and_steps(self, series_ids: Sequence[int]) -> dict[int, tuple[SeriesKind, int]]:
        """Series id -> its stored kind, and its step in seconds; of those that are stored."""
        ...


class SampleRepository(Protocol):
    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Store samples; a time that already has a value keeps it."""
        ...

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        """The samples of [start, end), of all series or of those given, archived ones included: `core.frames.SAMPLES`.

        Raises:
            DamagedArchiveError: a file of the archive that has such samples is missing or damaged.
        """
        ...

    def latest(self) -> pl.DataFrame:
        """The newest sample of each series that has one: `core.frames.SAMPLES`."""
        ...

    def span(self) -> tuple[datetime, datetime] | None:
        """The times of the first and the last sample, without archived ones; null when there are none."""
        ...

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        """Series id -> the time of its newest sample, of those that have one."""
        ...

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        """Those rows of `times` (series_id, ts) that have a sample."""
        ...

    def remove(self, series_id: int) -> int:
        """Remove all samples and rollups of a series, which were read wrongly; returns how many samples."""
        ...


class EventRepository(Protocol):
    def add(self, events: Iterable[Event]) -> int:
        """Store events; returns how many are new."""
        ...

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Event]:
        """Events that touch [start, end), those of all services included, by time."""
        ...


class IncidentRepository(Protocol):
    def add(self, incidents: Iterable[Incident]) -> int:
        """Store incidents; returns how many are new."""
        ...

    def change(self, changes: Iterable[AlertChange]) -> int:
        """Open and end incidents, whatever the order in which starts and ends arrive; returns how many are new."""
        ...

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Incident]:
        """Incidents that overlap [start, end), by start."""
        ...


class BaselineRepository(Protocol):
    def publish(
        self, rows: pl.DataFrame, *, window_start: datetime, window_end: datetime, model: ModelRef | None
    ) -> int:
        """Store the baselines of all series as the next version, whole or not at all; returns the version."""
        ...

    def extent(self) -> tuple[int, datetime, int] | None:
        """The newest version, the end of its window, and how many series it holds."""
        ...


class ForecastRepository(Protocol):
    def publish(self, frame: pl.DataFrame, *, made_at: datetime, model: ModelRef | None) -> int:
        """Store forecasts, whole or not at all; returns how many series were forecast."""
        ...


class FeatureRepository(Protocol):
    def write(self, frame: pl.DataFrame) -> int:
        """Store features by service and time; returns how many rows are new."""
        ...

    def newest(self) -> datetime | None:
        """The time of the newest features; null when there are none."""
        ...


class SignalRepository(Protocol):
    def upsert(self, signals: Sequence[Signal]) -> tuple[int, int]:
        """Store signals by their id; returns how many are new and how many changed."""
        ...

    def find(
        self,
        *,
        kind: SignalKind | None = None,
        service: str | None = None,
        since: datetime | None = None,
        suppressed: bool | None = None,
        limit: int | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> list[Signal]:
        """Signals, newest first.

        Args:
            limit: at most so many; null: all.
            after: start and id of the last signal of the page before.
            since: only those that started, or still lasted, at or after that time.
            suppressed: true: only those that a filter suppressed; false: only those that passed; null: all.
        """
        ...

    def counts(self, since: datetime) -> SignalCounts:
        """How many signals lasted at or after that time."""
        ...

    def unfinished(self) -> list[Signal]:
        """All signals that passed the filters and have not ended, oldest first."""
        ...

    def get(self, signal_id: str) -> Signal:
        """One signal, by its id or the beginning of it.

        Raises:
            NotFoundError: this tenant has none with that id, or several that begin so.
        """
        ...


class FeedbackRepository(Protocol):
    def add(self, feedback: Iterable[Feedback]) -> int:
        """Store feedback; returns how much is new."""
        ...

    def list(self, subject_ids: Sequence[str] | None = None) -> list[Feedback]:
        """All feedback, or that on some subjects, oldest first: the newest on a subject counts."""
        ...


class Store(Protocol):
    """A tenant's data: one repository for each kind."""

    @property
    def tenant(self) -> str: ...
    @property
    def series(self) -> SeriesRepository: ...
    @property
    def samples(self) -> SampleRepository: ...
    @property
    def series_ends(self) -> SeriesEndRepository: ...
    @property
    def counters(self) -> CounterRepository: ...
    @property
    def native_histograms(self) -> NativeHistogramRepository: ...
    @property
    def metric_types(self) -> MetricTypeRepository: ...
    @property
    def pushed(self) -> PushedRepository: ...
    @property
    def pushed_sizes(self) -> PushedRepository: ...
    @property
    def pushed_replicas(self) -> PushedRepository: ...
    @property
    def spans(self) -> SpanRepository: ...
    @property
    def service_edges(self) -> ServiceEdgeRepository: ...
    @property
    def logs(self) -> LogRepository: ...
    @property
    def contradictions(self) -> ContradictionRepository: ...
    @property
    def limit_changes(self) -> LimitChangeRepository: ...
    @property
    def events(self) -> EventRepository: ...
    @property
    def incidents(self) -> IncidentRepository: ...
    @property
    def dead_letters(self) -> DeadLetterRepository: ...
    @property
    def cursors(self) -> CursorRepository: ...
    @property
    def intake(self) -> IntakeRepository: ...
    @property
    def source_states(self) -> SourceStateRepository: ...
    @property
    def watch_cycles(self) -> WatchCycleRepository: ...
    @property
    def baselines(self) -> BaselineRepository: ...
    @property
    def forecasts(self) -> ForecastRepository: ...
    @property
    def features(self) -> FeatureRepository: ...
    @property
    def signals(self) -> SignalRepository: ...
    @property
    def deliveries(self) -> DeliveryRepository: ...
    @property
    def feedback(self) -> FeedbackRepository: ...
    @property
    def diagnoses(self) -> DiagnosisRepository: ...
    @property
    def transitions(self) -> TransitionRepository: ...
    @property
    def retention(self) -> RetentionPolicy: ...
    @property
    def archive(self) -> ArchiveRepository: ...
    @property
    def locks(self) -> LockRepository: ...

    def atomically(self) -> AbstractContextManager[None]:
        """All that this thread writes inside is stored together, or not at all."""
        ...

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        """Run `work` atomically, and again if the database aborted it to end a deadlock."""
        ...
