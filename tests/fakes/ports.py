"""Ports that refuse every call. A fake inherits one of them and overrides what its test needs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import NoReturn, TypeVar

import polars as pl

from core.archive import ArchiveRepository
from core.contradictions import ContradictionRepository
from core.counters import CounterRepository, MetricTypeRepository
from core.cursors import CursorRepository
from core.dead_letters import DeadLetterRepository
from core.diagnosis import DiagnosisRepository, TransitionRepository
from core.domain import ModelRef
from core.intake import IntakeRepository
from core.limit_changes import LimitChangeRepository
from core.locks import HeldLock, LockOwner, LockRepository
from core.logs import LogRepository
from core.model_registry import ModelRegistry
from core.outbox import DeliveryRepository
from core.ports import (
    BaselineRepository,
    EventRepository,
    FeatureRepository,
    FeatureStore,
    FeedbackRepository,
    ForecastRepository,
    IncidentRepository,
    Result,
    SampleRepository,
    SeriesRepository,
    SignalRepository,
    Store,
)
from core.pushed import PushedRepository
from core.retention import RetentionPolicy
from core.series_ends import NativeHistogramRepository, SeriesEndRepository
from core.source_states import SourceStateRepository
from core.traces import ServiceEdgeRepository, SpanRepository
from core.training import Training
from core.watch_cycles import WatchCycleRepository

T = TypeVar("T")


def unsupported(fake: object, what: str) -> NoReturn:
    """Fail, because the code under test calls what the test did not expect."""
    raise AssertionError(f"{type(fake).__name__} does not support {what}")


class NoRegistry(ModelRegistry):
    """A registry that supports nothing."""

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        unsupported(self, "register")

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        unsupported(self, "resolve")

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        unsupported(self, "load")

    def metrics(self, ref: ModelRef) -> Mapping[str, float]:
        unsupported(self, "metrics")

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        unsupported(self, "promote")


class NoFeatures(FeatureStore):
    """A feature store that supports nothing."""

    def materialize(self, start: datetime, end: datetime) -> int:
        unsupported(self, "materialize")

    def training_frame(self, entities: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        unsupported(self, "training_frame")

    def online(
        self, service_ids: Sequence[str], features: Sequence[str], *, until: datetime | None = None
    ) -> pl.DataFrame:
        unsupported(self, "online")


class _Held(HeldLock):
    def check(self) -> None:
        """Nobody takes it away."""


class FreeLocks(LockRepository):
    """Locks that nobody else holds."""

    def hold(self, name: str, *, wait_s: float = 0.0) -> AbstractContextManager[HeldLock]:
        return nullcontext(_Held())

    def owners(self, names: Sequence[str]) -> list[LockOwner]:
        return []


class FakeStore(Store):
    """A store of the repositories that a test gives; the others fail when they are asked for."""

    def __init__(
        self,
        tenant: str,
        *,
        series: SeriesRepository | None = None,
        samples: SampleRepository | None = None,
        events: EventRepository | None = None,
        incidents: IncidentRepository | None = None,
        signals: SignalRepository | None = None,
        feedback: FeedbackRepository | None = None,
        diagnoses: DiagnosisRepository | None = None,
    ) -> None:
        self._tenant = tenant
        self._series = series
        self._samples = samples
        self._events = events
        self._incidents = incidents
        self._signals = signals
        self._feedback = feedback
        self._diagnoses = diagnoses

    def _given(self, repository: T | None, name: str) -> T:
        return unsupported(self, name) if repository is None else repository

    @property
    def tenant(self) -> str:
        return self._tenant

    @property
    def series(self) -> SeriesRepository:
        return self._given(self._series, "series")

    @property
    def samples(self) -> SampleRepository:
        return self._given(self._samples, "samples")

    @property
    def series_ends(self) -> SeriesEndRepository:
        unsupported(self, "series_ends")

    @property
    def native_histograms(self) -> NativeHistogramRepository:
        unsupported(self, "native_histograms")

    @property
    def counters(self) -> CounterRepository:
        unsupported(self, "counters")

    @property
    def metric_types(self) -> MetricTypeRepository:
        unsupported(self, "metric_types")

    @property
    def pushed(self) -> PushedRepository:
        unsupported(self, "pushed")

    @property
    def pushed_sizes(self) -> PushedRepository:
        unsupported(self, "pushed_sizes")

    @property
    def pushed_replicas(self) -> PushedRepository:
        unsupported(self, "pushed_replicas")

    @property
    def spans(self) -> SpanRepository:
        unsupported(self, "spans")

    @property
    def service_edges(self) -> ServiceEdgeRepository:
        unsupported(self, "service_edges")

    @property
    def logs(self) -> LogRepository:
        unsupported(self, "logs")

    @property
    def contradictions(self) -> ContradictionRepository:
        unsupported(self, "contradictions")

    @property
    def limit_changes(self) -> LimitChangeRepository:
        unsupported(self, "limit_changes")

    @property
    def events(self) -> EventRepository:
        return self._given(self._events, "events")

    @property
    def incidents(self) -> IncidentRepository:
        return self._given(self._incidents, "incidents")

    @property
    def dead_letters(self) -> DeadLetterRepository:
        unsupported(self, "dead_letters")

    @property
    def cursors(self) -> CursorRepository:
        unsupported(self, "cursors")

    @property
    def intake(self) -> IntakeRepository:
        unsupported(self, "intake")

    @property
    def source_states(self) -> SourceStateRepository:
        unsupported(self, "source_states")

    @property
    def watch_cycles(self) -> WatchCycleRepository:
        unsupported(self, "watch_cycles")

    @property
    def baselines(self) -> BaselineRepository:
        unsupported(self, "baselines")

    @property
    def forecasts(self) -> ForecastRepository:
        unsupported(self, "forecasts")

    @property
    def features(self) -> FeatureRepository:
        unsupported(self, "features")

    @property
    def signals(self) -> SignalRepository:
        return self._given(self._signals, "signals")

    @property
    def deliveries(self) -> DeliveryRepository:
        unsupported(self, "deliveries")

    @property
    def feedback(self) -> FeedbackRepository:
        return self._given(self._feedback, "feedback")

    @property
    def diagnoses(self) -> DiagnosisRepository:
        return self._given(self._diagnoses, "diagnoses")

    @property
    def transitions(self) -> TransitionRepository:
        unsupported(self, "transitions")

    @property
    def retention(self) -> RetentionPolicy:
        unsupported(self, "retention")

    @property
    def archive(self) -> ArchiveRepository:
        unsupported(self, "archive")

    @property
    def locks(self) -> LockRepository:
        return FreeLocks()

    def atomically(self) -> AbstractContextManager[None]:
        unsupported(self, "atomically")

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        unsupported(self, "atomically_retried")
