"""The state of the service without a database, a registry or a trained model."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
from fakes.platform import platform_of
from fakes.ports import FakeStore, NoRegistry, unsupported

from core.clock import FixedClock
from core.domain import Band, ModelRef, Role, Series, SeriesKind
from core.errors import ModelUnavailableError, UnknownSeriesError
from core.frames import SAMPLES
from core.limit_changes import LimitChange
from core.ports import SampleRepository, SeriesRepository, WriteResult
from models.detect.series_model import PointScore
from serving.state.jobs import FleetDetector
from serving.state.loaded_models import LoadedModels
from serving.state.tenants import TenantContext

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class FakeRegistry(NoRegistry):
    """Versions in a dict; what is promoted is a version number."""

    tenant: str = "acme"
    versions: dict[str, int] = field(default_factory=dict)
    loads: int = 0

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        version = self.versions.get(kind)
        if version is None:
            return None
        return ModelRef(name=f"{self.tenant}.{kind}", version=version, run_id=f"run-{version}")

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        self.loads += 1
        ref = self.resolve(kind)
        if ref is None:
            raise ModelUnavailableError(f"no {alias} of kind {kind!r} is registered")
        return ref, {"version": str(ref.version).encode()}

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        self.versions[ref.name.rpartition(".")[2]] = ref.version


@dataclass
class FakeDetector(FleetDetector):
    """Scores each value as itself, and records its calls and the SLO thresholds that it gets."""

    learned: Mapping[int, Any]
    calls: list[tuple[int, list[datetime], list[float | None], Any]] = field(default_factory=list)
    limits: list[float | None] = field(default_factory=list)

    @property
    def models(self) -> Mapping[int, Any]:
        return self.learned

    def with_limits(self, stored: Iterable[Series]) -> "FakeDetector":
        self.limits += [one.slo_threshold for one in stored]
        return self

    def score_points(
        self, series_id: int, ts: Sequence[datetime], values: Sequence[float | None], context: Any = None
    ) -> list[PointScore]:
        if series_id not in self.models:
            raise UnknownSeriesError(f"series {series_id} has no model")
        self.calls.append((series_id, list(ts), list(values), context))
        return [
            PointScore(at, value, Band(expected=0.0, lower=-1.0, upper=2.0), 0.5, 0.5, value, False, (), ())
            for at, value in zip(ts, values, strict=True)
        ]


class FakeSeriesStore(SeriesRepository):
    def __init__(self, series: Sequence[Series]) -> None:
        self._known = {one.series_id: one for one in series}

    def register(self, series: Iterable[Series]) -> list[LimitChange]:
        unsupported(self, "register")

    def hold(self) -> None:
        unsupported(self, "hold")

    def get(self, series_id: int) -> Series:
        if series_id not in self._known:
            raise UnknownSeriesError(f"there is no series {series_id}")
        return self._known[series_id]

    def propose(self, thresholds: Mapping[int, float | None]) -> None:
        unsupported(self, "propose")

    def known(self, series_ids: Sequence[int]) -> set[int]:
        unsupported(self, "known")

    def of_metrics(self, metrics: Sequence[str]) -> list[Series]:
        unsupported(self, "of_metrics")

    def kinds_and_steps(self, series_ids: Sequence[int]) -> dict[int, tuple[SeriesKind, int]]:
        unsupported(self, "kinds_and_steps")

    def find(
        self, *, service: str | None = None, metric: str | None = None, role: Role | None = None
    ) -> list[Series]:
        return [
            one
            for one in self._known.values()
            if service in (None, one.service) and metric in (None, one.metric) and role in (None, one.role)
        ]


class FakeSamples(SampleRepository):
    def __init__(self, rows: Sequence[tuple[int, datetime, float]] = ()) -> None:
        self._frame = pl.DataFrame(list(rows), schema=SAMPLES, orient="row").sort("series_id", "ts")
        self.reads = 0

    def write(self, frame: pl.DataFrame) -> WriteResult:
        unsupported(self, "write")

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        self.reads += 1
        found = self._frame.filter(pl.col("ts") >= start, pl.col("ts") < end)
        return found if series_ids is None else found.filter(pl.col("series_id").is_in(list(series_ids)))

    def span(self) -> tuple[datetime, datetime] | None:
        unsupported(self, "span")

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        unsupported(self, "newest_times")

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        unsupported(self, "stored_at")

    def remove(self, series_id: int) -> int:
        unsupported(self, "remove")

    def latest(self) -> pl.DataFrame:
        return self._frame.sort("ts").group_by("series_id", maintain_order=True).last()


def fake_context(
    series: Sequence[Series],
    *,
    learned: Sequence[Series] | None = None,
    samples: Sequence[tuple[int, datetime, float]] = (),
    registry: FakeRegistry | None = None,
) -> tuple[TenantContext, FakeDetector, FakeSamples]:
    """The context of tenant acme at `NOW`; its detector has learned `learned` (null: all)."""
    detector = FakeDetector({one.series_id: one for one in (series if learned is None else learned)})
    stored = FakeSamples(samples)
    store = FakeStore("acme", series=FakeSeriesStore(series), samples=stored)
    platform = platform_of(store, FixedClock(NOW))
    models = LoadedModels(
        registry or FakeRegistry(versions={"detector": 3}), retry_s=60, load=lambda kind, files: detector
    )
    if registry is None:
        # A detector is called once when it is loaded; tests check the calls after that.
        models.detector()
        detector.calls.clear()
    return TenantContext(platform, models), detector, stored
