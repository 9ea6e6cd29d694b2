"""Build the failure features from the samples, keep them, and bring the newest online."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.domain import DEFAULT_STEP_S, Event, Series, service_id
from core.errors import InsufficientDataError
from core.frames import TIME
from features.catalog import FEATURE_NAMES, checked_values, features_of_services
from features.feature import LOOKBACK_H, RASTER, RASTER_S
from features.grid import AGE_CAP_H, FleetGrid, fleet_grid
from features.missing import column_of
from features.slots import slot_of
from pipelines.common.parallel import chunked, map_chunks
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import Edges, service_graph
from pipelines.common.tenant_platform import Platform

#: History is kept at this cadence: neighbouring moments of a slow precursor teach little more than one of them.
EVERY_S = RASTER_S
#: How far back features are built when nobody says where to start.
HISTORY = timedelta(days=60)
#: Samples may come in so late and still count.
LATE = timedelta(days=1)
#: Services whose samples are read at once.
CHUNK = 100
#: Services that one worker gets at a time: their answers stay under 32 MB, above which memory is mapped anew for each.
PART = 5
#: Under so many services starting workers takes longer than they save.
WORTH_PROCESSES = 100
#: Online answers older than the view's TTL are stale, so only this much is brought online.
FRESH = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """What was built: rows of features, for how many services, over which span."""

    start: datetime
    end: datetime
    services: int
    rows: int


def build_features(
    platform: Platform,
    *,
    at: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress = silent,
) -> FeatureReport:
    """Features of every service from `start` to `end`: each half hour, and the newest moment itself.

    Args:
        at: the present, another word for `end`; by default now, or the end of the data where it is older.
        start: by default a day before what is built already ends; at first 60 days before the end.
    Raises:
        InsufficientDataError: there are no samples.
    """
    begin, now = _span(platform, start, end or at)
    series = [one for one in platform.store.series.find() if slot_of(one) is not None]
    services = sorted({one.service for one in series})
    settings = platform.settings
    # Who asks for a cluster by name gets one, however small the fleet.
    worth = settings.compute != "processes" or len(services) >= WORTH_PROCESSES
    made = map_chunks(
        features_of_part,
        _parts(platform, series, services, begin, now),
        workers=settings.workers if worth else 1,
        compute=settings.compute,
    )
    rows = 0
    for done, one in enumerate(chain.from_iterable(made), start=1):
        rows += platform.store.features.write(one.frame())
        progress("features", done, len(services))
    return FeatureReport(start=begin, end=now, services=len(services), rows=rows)


def materialize(platform: Platform, *, at: datetime | None = None, progress: Progress = silent) -> int:
    """Bring the newest features online; returns for how many services."""
    progress("online features", 0, 1)
    _, now = _span(platform, None, at)
    services = platform.features.materialize(now - FRESH, now)
    progress("online features", 1, 1)
    return services


def newest_moment(platform: Platform, at: datetime | None = None) -> datetime:
    """The last step of the grid for which there can be features.

    Raises:
        InsufficientDataError: there are no samples.
    """
    return _span(platform, None, at)[1]


def _span(platform: Platform, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The span on the grid: (first, last step)."""
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; ingest some first")
    now = _floor(min(end or platform.clock.now(), span[1]))
    newest = platform.store.features.newest()
    # What is built stays: the samples behind its oldest rows may be gone by now, and it cannot be built so well again.
    usual = now - HISTORY if newest is None else min(newest, now) - LATE
    begin = max(start or usual, span[0])
    return _floor(min(begin, now)), now


@dataclass(frozen=True)
class Part:
    """What one worker makes features of: a few services' wide frames, and which of their moments are kept."""

    wide: Sequence[tuple[str, pl.DataFrame]]
    begin: datetime
    now: datetime


def _parts(
    platform: Platform, series: Sequence[Series], services: Sequence[str], begin: datetime, now: datetime
) -> Iterator[Part]:
    """The services in parts; samples are read for many at once, what they depend on with them."""
    graph = _callees(service_graph(platform.settings.service_graph, series))
    first = begin - timedelta(hours=LOOKBACK_H)
    # Ages of events reach further back than windows of samples.
    since = begin - timedelta(hours=AGE_CAP_H)
    events: list[Event] = [
        e for e in platform.store.events.between(since, now + timedelta(seconds=1)) if e.at <= now
    ]
    for chunk in chunked(services, CHUNK):
        needed = set(chunk) | {name for service in chunk for name in graph.get(service, ())}
        picked = [one for one in series if one.service in needed]
        samples = platform.store.samples.read(
            first, now + timedelta(seconds=1), [one.series_id for one in picked]
        )
        grid = fleet_grid(samples, picked, events, start=first, end=now, depends_on=graph)
        wanted = {service_id(platform.tenant, service) for service in chunk}
        yield from parts_of(grid, wanted, begin, now)


def parts_of(grid: FleetGrid, wanted: Collection[str], begin: datetime, now: datetime) -> Iterator[Part]:
    """The wanted services (`<tenant>/<service>`) of a grid, a few at a time."""
    wide = (one for one in grid.wide() if one[0] in wanted)
    while frames := list(islice(wide, PART)):
        yield Part(frames, begin, now)


@dataclass(frozen=True)
class ServiceFeatures:
    """What a worker answers of a service: arrays, for a frame of so many columns takes several times as long to send.

    Attributes:
        times: microseconds since 1970, ascending.
        values: (times, features), missing is NaN.
    """

    service_id: str
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def frame(self) -> pl.DataFrame:
        """`service_id`, `ts` and a column for each feature."""
        columns = map(column_of, self.values.T)
        features = (column.alias(name) for name, column in zip(FEATURE_NAMES, columns, strict=True))
        frame = pl.DataFrame([pl.Series("ts", self.times).cast(TIME), *features])
        return frame.select(pl.lit(self.service_id).alias("service_id"), pl.all())


def features_of_part(part: Part) -> list[ServiceFeatures]:
    """What a worker process does: the checked features of each service at the half hours and the newest moment."""
    keep = (pl.col("ts") >= part.begin) & (
        (pl.col("ts").dt.epoch("s") % EVERY_S == 0) | (pl.col("ts") == part.now)
    )
    # The half hours, and the newest moment's own place in its half hour.
    phases = sorted({0, int(part.now.timestamp()) // DEFAULT_STEP_S % RASTER})
    made = features_of_services([wide for _, wide in part.wide], phases=phases)
    found = []
    for (identity, _), frame in zip(part.wide, made, strict=True):
        kept = frame.filter(keep)
        times = kept.get_column("ts").to_physical().to_numpy()
        found.append(ServiceFeatures(identity, times, checked_values(kept)))
    return found


def _callees(edges: Edges) -> dict[str, tuple[str, ...]]:
    graph: dict[str, tuple[str, ...]] = {}
    for caller, callee in edges:
        graph[caller] = (*graph.get(caller, ()), callee)
    return graph


def _floor(moment: datetime) -> datetime:
    step = timedelta(seconds=DEFAULT_STEP_S)
    return _EPOCH + (moment - _EPOCH) // step * step
