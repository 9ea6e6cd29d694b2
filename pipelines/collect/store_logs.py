"""Count the lines of a request of logs. `summarise_logs` makes samples of the counts when a step is complete."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.batch import Batch
from core.domain import Direction, Role, Series, SignalKind
from core.frames import SAMPLES
from core.logs import LogCount
from models.metrics.log_levels import FAILURES, WARNING
from models.signals.new_log_line import LEARNING, USUAL_AFTER, new_line_signals
from models.signals.new_log_line import METRIC as TEMPLATE_METRIC
from pipelines.collect.ingest import IngestReport
from pipelines.collect.log_templates import templates_of
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
#: A template without lines for so long makes room for another one.
TEMPLATE_LIFETIME = timedelta(days=30)


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
    """Count the lines of a request by level and template, in one transaction.

    Of the text of lines, only one example of each template is stored, without secrets.

    Raises:
        UnavailableError: the database does not answer; nothing of the request is kept.
    """
    store, now = platform.store, platform.clock.now()
    with store.atomically():
        store.logs.hold()
        if store.logs.is_repeated(request.digest, now):
            return StoredLogs(is_repeated=True, rejected=0, first_rejected=None)
        accepted, late = _timely(request.lines, OpenSteps(store, SOURCE, now), now)
        names = templates_of(store, accepted, now)
        counted = Counter(
            (step_of(one.at_ns), one.service, one.level, names[one.service, one.text]) for one in accepted
        )
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
    """Store the samples of all steps that are complete, and a signal for each new kind of line.

    The samples are lines per second of each service, by level and by template.
    """
    store, now = platform.store, platform.clock.now()
    templates = store.logs.templates()
    active = [
        _Stream(service, METRIC, "level", level) for service, level in store.logs.levels(now - ACTIVE_FOR)
    ]
    active += [
        _Stream(one.service, TEMPLATE_METRIC, "template", one.name)
        for one in templates
        if one.seen_at >= now - ACTIVE_FOR
    ]
    report = store_complete_steps(
        platform,
        SOURCE,
        store.logs,
        lambda before: _batch(platform.tenant, store.logs.take(before), active, before),
        progress,
    )
    known = store.signals.find(kind=SignalKind.ANOMALY, since=now - LEARNING - USUAL_AFTER)
    ended = {one.signal_id for one in known if one.ended_at is not None}
    store.signals.upsert(new_line_signals(templates, ended, now))
    store.logs.forget(repeats_kept_since(now), now - ACTIVE_FOR, now - TEMPLATE_LIFETIME)
    return report


@dataclass(frozen=True, slots=True)
class _Stream:
    """Lines of a service that are counted together: those with this value of a label."""

    service: str
    metric: str
    label: str
    value: str

    def series(self, tenant: str) -> Series:
        is_bad = self.label == "level" and self.value in FAILURES | {WARNING}
        return Series(
            tenant=tenant,
            service=self.service,
            metric=self.metric,
            labels={self.label: self.value},
            unit="lines/s",
            role=Role.ERRORS if is_bad and self.value in FAILURES else Role.SATURATION,
            step_s=int(STEP.total_seconds()),
            direction=Direction.UP_IS_BAD if is_bad else Direction.BOTH,
        )


def _batch(tenant: str, counts: Sequence[LogCount], active: Sequence[_Stream], before: datetime) -> Batch:
    """The samples of all steps before a time. A sample has the time at which its step ended.

    In a step in which any service logged something, each active stream has a value, which may be 0.
    """
    lines: Counter[tuple[datetime, _Stream]] = Counter()
    for one in counts:
        lines[one.at, _Stream(one.service, METRIC, "level", one.level)] += one.lines
        lines[one.at, _Stream(one.service, TEMPLATE_METRIC, "template", one.template)] += one.lines
    series = {
        stream: stream.series(tenant) for stream in dict.fromkeys([*(key[1] for key in lines), *active])
    }
    rows = [
        (found.series_id, at + STEP, lines[at, stream] / STEP.total_seconds())
        for at in sorted({at for at, _ in lines})
        for stream, found in series.items()
    ]
    return Batch(
        series=tuple(series.values()),
        samples=pl.DataFrame(rows, schema=SAMPLES, orient="row"),
        cursor=before.isoformat(),
    )
