"""Build the failure features from the samples, store them, and load the newest into the online store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import DEFAULT_STEP_S, Event, Series, ServiceEdges
from core.durations import DAY
from core.errors import InsufficientDataError
from core.frames import TIME
from core.metric_names import feature_slot
from core.service_names import service_id
from features.catalog import FEATURE_NAMES, checked_values, features_of_services
from features.feature import LOOKBACK_H, RASTER, RASTER_S
from features.grid import AGE_CAP_H, fleet_grid
from features.missing import column_of
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import chunked, map_chunks
from pipelines.processes.worker_platform import WorkerPlatform

#: Features are stored at this cadence, because neighbouring moments of a slow precursor are almost the same.
EVERY_S = RASTER_S
#: The first run builds the features of so long before now.
HISTORY = timedelta(days=60)
#: Each later run builds this last span again, because samples may arrive so late.
LATE = timedelta(days=1)
#: Services that are read and computed at once; more of them share the overhead of Polars. Results stay under 32 MB:
#: larger ones would get freshly mapped memory.
SERVICES_PER_JOB = 5
#: The same for spans of a day or less.
SERVICES_PER_SHORT_JOB = 50
#: Rows that are written at once: each write takes as long as some hundred rows.
ROWS_PER_WRITE = 2_000
#: With fewer moments of services, starting workers takes longer than they save. In each watch cycle there is one moment
#: of each service.
WORTH_PROCESSES = 5_000
#: Only features of this last span are loaded into the online store; older ones would exceed the TTL of the view.
FRESH = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """What was built.

    Attributes:
        services: how many services have features.
        rows: how many rows of features are new in the store.
    """

    start: datetime
    end: datetime
    services: int
    rows: int


@one_at_a_time("features")
def build_features(
    platform: Platform,
    *,
    at: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress = silent,
) -> FeatureReport:
    """Build the features of every service from `start` to `end`: at each half hour and at the newest moment.

    Args:
        at: the same as `end`, which wins if both are given.
        start: null: a day before the end of the stored features; on the first run, 60 days before `end`.
        end: null: now, or the end of the data if that is earlier.
    Raises:
        InsufficientDataError: there are no samples.
    """
    return build_missing_features(platform, start=start, end=end or at, progress=progress)


def build_missing_features(
    platform: Platform, *, start: datetime | None, end: datetime | None, progress: Progress = silent
) -> FeatureReport:
    """As `build_features`, also while another process builds features: rows of both are the same."""
    span = _span(platform, start, end)
    series = [one for one in platform.store.series.find() if feature_slot(one.metric, one.role) is not None]
    services = sorted({one.service for one in series})
    rows, done = 0, 0
    for batch in _batches(_computed(platform, series, services, span)):
        rows += platform.store.features.write(frame_of_features(batch))
        done += sum(len(one.service_ids) for one in batch)
        progress("features", done, len(services))
    return FeatureReport(start=span.begin, end=span.end, services=len(services), rows=rows)


def materialize(platform: Platform, *, at: datetime | None = None, progress: Progress = silent) -> int:
    """Load the newest features into the online store.

    Returns:
        how many services have online features.
    Raises:
        InsufficientDataError: there are no features yet.
    """
    progress("online features", 0, 1)
    now = newest_moment(platform, at)
    require_features(platform)
    services = platform.features.materialize(now - FRESH, now)
    progress("online features", 1, 1)
    return services


def require_features(platform: Platform) -> None:
    """Refuse to read features that were never built: the table has no columns for them yet.

    Raises:
        InsufficientDataError: there are no features yet.
    """
    if platform.store.features.newest() is None:
        raise InsufficientDataError(
            "there are no features yet; they need some hours of samples, and `forewarn features build` computes them"
        )


def newest_moment(platform: Platform, at: datetime | None = None) -> datetime:
    """The last step of the grid for which features can be built.

    Raises:
        InsufficientDataError: there are no samples.
    """
    return _span(platform, None, at).end


@dataclass(frozen=True, slots=True)
class GridSpan:
    """The first and the last step of a span on the grid; both belong to it."""

    begin: datetime
    end: datetime


def _span(platform: Platform, start: datetime | None, end: datetime | None) -> GridSpan:
    sampled = platform.store.samples.span()
    if sampled is None:
        raise InsufficientDataError("there are no samples yet; run `forewarn ingest` first")
    now = _floor(min(end or platform.clock.now(), sampled[1]))
    newest = platform.store.features.newest()
    # Stored features stay, because the samples of the oldest ones may have been deleted.
    usual = now - HISTORY if newest is None else min(newest, now) - LATE
    begin = max(start or usual, sampled[0])
    return GridSpan(_floor(min(begin, now)), now)


@dataclass(frozen=True)
class ComputedFeatures:
    """Features of some services.

    It holds arrays, because sending a frame with so many columns takes several times as long.

    Attributes:
        service_ids: of the job, also those without rows.
        counts: how many rows each of them has.
        times: microseconds since 1970, ascending for each service.
        values: (rows, features), missing is NaN.
    """

    service_ids: Sequence[str]
    counts: IntArray
    times: IntArray
    values: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesJob:
    """Some services whose samples are read at once.

    Attributes:
        series: of these services and of those that they call.
        depends_on: service -> services that it calls.
        events: of these services, not later than the span.
        span: only features of this span are wanted.
    """

    services: Sequence[str]
    series: Sequence[Series]
    depends_on: Mapping[str, tuple[str, ...]]
    events: Sequence[Event]
    span: GridSpan


def _computed(
    platform: Platform, series: Sequence[Series], services: Sequence[str], span: GridSpan
) -> Iterator[ComputedFeatures]:
    """The features of all services; where it pays, workers read the samples and compute."""
    moments = len(services) * (1 + (span.end - span.begin) // timedelta(seconds=EVERY_S))
    worker = WorkerPlatform.of(platform, len(series), span.end, is_long=moments >= WORTH_PROCESSES)
    jobs = _jobs(platform, series, services, span)
    if worker is None:
        return (compute_services(platform, job) for job in jobs)
    settings = platform.settings
    sent = ((worker, job) for job in jobs)
    return map_chunks(services_job, sent, workers=settings.workers, compute=settings.compute)


def _jobs(
    platform: Platform, series: Sequence[Series], services: Sequence[str], span: GridSpan
) -> Iterator[ServicesJob]:
    graph = _callees(graph_of(platform, series))
    # The age of an event needs a longer lookback than the windows of samples.
    since, after = span.begin - timedelta(hours=AGE_CAP_H), span.end + timedelta(seconds=1)
    events = [event for event in platform.store.events.between(since, after) if event.at <= span.end]
    of_service: dict[str, list[Series]] = {}
    for one in series:
        of_service.setdefault(one.service, []).append(one)
    at_once = SERVICES_PER_JOB if span.end - span.begin > DAY else SERVICES_PER_SHORT_JOB
    for chunk in chunked(services, at_once):
        calls = {service: graph[service] for service in chunk if service in graph}
        needed = sorted({*chunk, *chain.from_iterable(calls.values())})
        yield ServicesJob(
            services=chunk,
            series=[one for service in needed for one in of_service.get(service, ())],
            depends_on=calls,
            events=[event for event in events if event.service == "*" or event.service in chunk],
            span=span,
        )


def compute_services(platform: Platform, job: ServicesJob) -> ComputedFeatures:
    """Read the samples of some services, and compute their features."""
    first, end = job.span.begin - timedelta(hours=LOOKBACK_H), job.span.end
    ids = [one.series_id for one in job.series]
    samples = platform.store.samples.read(first, end + timedelta(seconds=1), ids)
    grid = fleet_grid(samples, job.series, job.events, start=first, end=end, depends_on=job.depends_on)
    wanted = {service_id(platform.tenant, service) for service in job.services}
    return compute_features([one for one in grid.wide() if one[0] in wanted], job.span)


def services_job(job: tuple[WorkerPlatform, ServicesJob]) -> ComputedFeatures:
    """`compute_services` in a worker."""
    worker, part = job
    with worker.opened() as platform:
        return compute_services(platform, part)


def frame_of_features(found: Sequence[ComputedFeatures]) -> pl.DataFrame:
    """`service_id`, `ts` and a column for each feature."""
    columns = map(column_of, np.concatenate([one.values for one in found]).T)
    features = (column.alias(name) for name, column in zip(FEATURE_NAMES, columns, strict=True))
    names = list(chain.from_iterable(one.service_ids for one in found))
    services = pl.Series(
        "service_id", np.repeat(names, np.concatenate([one.counts for one in found])).tolist()
    )
    times = np.concatenate([one.times for one in found])
    return pl.DataFrame([services, pl.Series("ts", times).cast(TIME), *features])


def _batches(found: Iterable[ComputedFeatures]) -> Iterator[list[ComputedFeatures]]:
    """What is written at once: in a watch cycle, each service has one row."""
    batch: list[ComputedFeatures] = []
    rows = 0
    for one in found:
        batch.append(one)
        rows += len(one.times)
        if rows >= ROWS_PER_WRITE:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def compute_features(wide: Sequence[tuple[str, pl.DataFrame]], span: GridSpan) -> ComputedFeatures:
    """Compute and check the features of some services at the half hours of a span and at its end.

    Args:
        wide: service id -> its samples as a wide frame, see `FleetGrid.wide`; at least one.
    """
    newest = span.end
    # Phase 0 are the half hours; the newest moment has its own phase within its half hour.
    own = int(newest.timestamp()) // DEFAULT_STEP_S % RASTER
    phases = sorted({own} if span.begin == newest else {0, own})
    frame = features_of_services([one for _, one in wide], phases=phases, since=span.begin)
    frame = frame.filter((pl.col("ts").dt.epoch("s") % EVERY_S == 0) | (pl.col("ts") == newest))
    return ComputedFeatures(
        service_ids=[identity for identity, _ in wide],
        counts=np.bincount(frame.get_column("service").to_numpy(), minlength=len(wide)),
        times=frame.get_column("ts").to_physical().to_numpy(),
        values=checked_values(frame),
    )


def _callees(edges: ServiceEdges) -> dict[str, tuple[str, ...]]:
    graph: dict[str, tuple[str, ...]] = {}
    for caller, callee in edges:
        graph[caller] = (*graph.get(caller, ()), callee)
    return graph


def _floor(moment: datetime) -> datetime:
    step = timedelta(seconds=DEFAULT_STEP_S)
    return _EPOCH + (moment - _EPOCH) // step * step
