"""Count the lines of a request of logs. `summarise_logs` makes samples of the counts when a step is complete."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.batch import Batch
from core.domain import Direction, Role, Series
from core.frames import SAMPLES
from core.logs import LogCount
from models.metrics.log_levels import FAILURES, WARNING
from pipelines.collect.ingest import IngestReport
from pipelines.collect.steps import STEP, OpenSteps, repeats_kept_since, step_of, store_complete_steps
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.log_lines import LogLine, LogRequest
from pipelines.stores.dead_letters import REJECTED

#: Of dead letters and the cursor.
SOURCE = "logs"
METRIC = "log_lines_per_second"
#: A level has a rate of 0 for so long after its last line.
ACTIVE_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredLogs:
    """What became of the lines of a request.

    Attributes:
        is_repeated: the request was stored before, and so nothing of it is counted.
        rejected: lines that are not counted; they are dead letters.
        first_rejected: why; null: none was rejected.
    """

    is_repeated: bool
    rejected: int
    first_rejected: str | None


def store_logs(platform: Platform, request: LogRequest) -> StoredLogs:
    """Count the lines of a request, in one transaction. No text of a line is stored.

    Raises:
        UnavailableError: the database does not answer; nothing of the request is kept.
    """
    store, now = platform.store, platform.clock.now()
    with store.atomically():
        store.logs.hold()
        if store.logs.is_repeated(request.digest, now):
            return StoredLogs(is_repeated=True, rejected=0, first_rejected=None)
        accepted, late = _timely(request.lines, OpenSteps(store, SOURCE, now), now)
        counted = Counter((step_of(one.at_ns), one.service, one.level) for one in accepted)
        store.logs.add([LogCount(*key, lines) for key, lines in counted.items()], now)
        rejected = [*request.rejected, *late]
        store.dead_letters.add(SOURCE, pl.DataFrame(rejected, schema=REJECTED, orient="row"))
    return StoredLogs(
        is_repeated=False,
        rejected=request.rejected_lines + len(request.lines) - len(accepted),
        first_rejected=rejected[0][1] if rejected else None,
    )


def _timely(
    lines: Sequence[LogLine], steps: OpenSteps, now: datetime
) -> tuple[list[LogLine], list[tuple[str, str]]]:
    """The lines whose step is open, and a dead letter for the others of each service."""
    accepted, others = [], Counter[tuple[str, str]]()
    for one in lines:
        problem = steps.problem(one.at_ns)
        if problem is None:
            accepted.append(one)
        else:
            others[one.service, problem] += 1
    rejected = []
    for (service, problem), count in others.items():
        row = {"service": service, "lines": count, "received": now.isoformat()}
        rejected.append((json.dumps(row), f"the line was logged {problem}"))
    return accepted, rejected


@one_at_a_time("summarise logs")
def summarise_logs(platform: Platform, *, progress: Progress = silent) -> IngestReport:
    """Store the samples of all steps that are complete: lines per second of each service, by level."""
    store, now = platform.store, platform.clock.now()
    active = store.logs.levels(now - ACTIVE_FOR)
    report = store_complete_steps(
        platform,
        SOURCE,
        store.logs,
        lambda before: _batch(platform.tenant, store.logs.take(before), active, before),
        progress,
    )
    store.logs.forget(repeats_kept_since(now), now - ACTIVE_FOR)
    return report


def _batch(
    tenant: str, counts: Sequence[LogCount], active: Sequence[tuple[str, str]], before: datetime
) -> Batch:
    """The samples of all steps before a time. A sample has the time at which its step ended.

    In a step in which any service logged something, each active level has a value, which may be 0.
    """
    lines = {(one.at, one.service, one.level): one.lines for one in counts}
    streams = sorted({(service, level) for _, service, level in lines} | set(active))
    series = {stream: _series(tenant, *stream) for stream in streams}
    rows = [
        (series[stream].series_id, at + STEP, lines.get((at, *stream), 0) / STEP.total_seconds())
        for at in sorted({at for at, _, _ in lines})
        for stream in streams
    ]
    return Batch(
        series=tuple(series.values()),
        samples=pl.DataFrame(rows, schema=SAMPLES, orient="row"),
        cursor=before.isoformat(),
    )


def _series(tenant: str, service: str, level: str) -> Series:
    is_bad = level in FAILURES | {WARNING}
    return Series(
        tenant=tenant,
        service=service,
        metric=METRIC,
        labels={"level": level},
        unit="lines/s",
        role=Role.ERRORS if level in FAILURES else Role.SATURATION,
        step_s=int(STEP.total_seconds()),
        direction=Direction.UP_IS_BAD if is_bad else Direction.BOTH,
    )
