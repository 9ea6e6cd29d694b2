"""What the pipelines need from the outside world; `pipelines/wiring.py` chooses who provides it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import polars as pl

from core.domain import Event, Incident, ModelRef, Series, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a source hands over at once.

    Attributes:
        series: every series that `samples` speaks of.
        samples: `core.frames.SAMPLES`, in any order, possibly with duplicates.
        rejected: columns `row` (the input as JSON text) and `reason`.
        cursor: what the source needs to go on after this batch; stored in the batch's own transaction.
    """

    series: Sequence[Series] = ()
    samples: pl.DataFrame | None = None
    rejected: pl.DataFrame | None = None
    events: Sequence[Event] = ()
    incidents: Sequence[Incident] = ()
    cursor: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One set of parameters that was tried on the way to a model, and what it reached."""

    name: str
    params: Mapping[str, str | int | float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model was made from, kept with it so that an answer can be traced and made again.

    Attributes:
        attempts: what was tried on the way, each kept as a run of its own under the model's.
        documents: path -> content of what people look at, such as plots; no part of the model.
    """

    window_start: datetime
    window_end: datetime
    seed: int
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)


class ModelRegistry(Protocol):
    """Versions of a tenant's models; a model is a bundle of named files, never a pickle."""

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        """Store a bundle as the next version of the tenant's `kind` and give it the alias `challenger`.

        Args:
            files: read one by one, and not kept: they may lie on a disk that is cleared afterwards.
        """
        ...

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        """The version behind an alias, or null; cheap enough to ask every second."""
        ...

    def load(self, kind: str, alias: str = "champion") -> tuple[ModelRef, Mapping[str, bytes]]:
        """The bundle behind an alias.

        Raises:
            ModelUnavailableError: nothing has that alias yet.
        """
        ...

    def metrics(self, ref: ModelRef) -> Mapping[str, float]:
        """What was measured when that version was trained."""
        ...

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        """Point an alias at a version."""
        ...


class FeatureStore(Protocol):
    """Features by service and time: the same numbers for training and for serving."""

    def materialize(self, start: datetime, end: datetime) -> int:
        """Bring features of that span online; returns how many services are online."""
        ...

    def training_frame(self, entities: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        """Features as they were known at each `service_id`, `ts` of `entities` (point in time)."""
        ...

    def online(self, service_ids: Sequence[str], features: Sequence[str]) -> pl.DataFrame:
        """The newest features of each service."""
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


class Clock(Protocol):
    def now(self) -> datetime:
        """The present, zone-aware UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still: for backtests, the demo and tests."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment
