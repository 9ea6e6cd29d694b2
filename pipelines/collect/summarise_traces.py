"""Make samples of the spans of complete steps: requests, errors and latency of operations, and the service graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.batch import Batch
from core.domain import Direction, Role, Series, SeriesKind
from core.frames import SAMPLES
from core.traces import SpanCount
from models.metrics.conventions import ENOUGH_REQUESTS, QUANTILES
from models.metrics.duration_buckets import quantile_s
from pipelines.collect.ingest import IngestReport
from pipelines.collect.steps import STEP, repeats_kept_since, store_complete_steps
from pipelines.collect.store_traces import OPERATION_LIFETIME, OTHER, SOURCE
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform

#: An operation without requests has a rate of 0 for so long, while its service has others.
ACTIVE_FOR = timedelta(days=1)


@one_at_a_time("summarise traces")
def summarise_traces(platform: Platform, *, progress: Progress = silent) -> IngestReport:
    """Store the samples of all steps that are complete, and the calls between services."""
    store, now = platform.store, platform.clock.now()
    report = store_complete_steps(
        platform,
        SOURCE,
        store.spans,
        lambda before: _batch(platform, store.spans.take(before), before),
        progress,
    )
    with store.atomically():
        store.service_edges.see(store.spans.calls(), now)
        store.spans.forget(repeats_kept_since(now), now - OPERATION_LIFETIME)
    return report


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of a service in one step."""

    counts: Mapping[int, int]
    errors: int

    @property
    def requests(self) -> int:
        return sum(self.counts.values())


def _batch(platform: Platform, counts: Sequence[SpanCount], before: datetime) -> Batch:
    """The samples of all steps before a time. A sample has the time at which its step ended."""
    steps: dict[tuple[datetime, str], dict[str, _Operation]] = defaultdict(dict)
    for key, found in _by_operation(counts).items():
        at, service, operation = key
        steps[at, service][operation] = found
    services = sorted({service for _, service in steps})
    active = platform.store.spans.operations(services, platform.clock.now() - ACTIVE_FOR)
    known: dict[tuple[str, str, str], Series] = {}
    rows: list[tuple[int, datetime, float]] = []
    for (at, service), operations in sorted(steps.items()):
        # without any request of its service, nobody knows whether an operation has none or whether none is sent
        idle = active.get(service, set()) - operations.keys() - {OTHER}
        for operation in sorted(operations.keys() | idle):
            for metric, value in _values(operations.get(operation, _Operation({}, 0))):
                series = known.get((service, operation, metric))
                if series is None:
                    series = known[service, operation, metric] = _series(
                        platform.tenant, service, operation, metric
                    )
                rows.append((series.series_id, at + STEP, value))
    return Batch(
        series=tuple(known.values()),
        samples=pl.DataFrame(rows, schema=SAMPLES, orient="row"),
        cursor=before.isoformat(),
    )


def _by_operation(counts: Sequence[SpanCount]) -> dict[tuple[datetime, str, str], _Operation]:
    buckets: dict[tuple[datetime, str, str], dict[int, int]] = defaultdict(dict)
    errors: dict[tuple[datetime, str, str], int] = defaultdict(int)
    for one in counts:
        key = (one.at, one.service, one.operation)
        buckets[key][one.bucket] = one.requests
        errors[key] += one.errors
    return {key: _Operation(found, errors[key]) for key, found in buckets.items()}


#: The metric of the rate of requests of an operation.
REQUESTS_METRIC = "operation_requests_per_second"
_ERRORS = "operation_error_ratio"
_LATENCIES = {f"operation_p{100 * share:g}_seconds": share for share in QUANTILES}


def _values(found: _Operation) -> Iterator[tuple[str, float]]:
    """Metric and value, as the recipes of golden signals give them for metrics of requests."""
    yield REQUESTS_METRIC, found.requests / STEP.total_seconds()
    yield _ERRORS, found.errors / max(found.requests, ENOUGH_REQUESTS)
    if found.requests:
        for metric, share in _LATENCIES.items():
            yield metric, quantile_s(found.counts, share)


def _series(tenant: str, service: str, operation: str, metric: str) -> Series:
    role, unit, kind, direction = {
        REQUESTS_METRIC: (Role.TRAFFIC, "requests/s", SeriesKind.GAUGE, Direction.BOTH),
        _ERRORS: (Role.ERRORS, "ratio", SeriesKind.RATIO, Direction.UP_IS_BAD),
    }.get(metric, (Role.LATENCY, "seconds", SeriesKind.GAUGE, Direction.UP_IS_BAD))
    return Series(
        tenant=tenant,
        service=service,
        metric=metric,
        labels={"operation": operation},
        unit=unit,
        kind=kind,
        role=role,
        step_s=int(STEP.total_seconds()),
        direction=direction,
    )
