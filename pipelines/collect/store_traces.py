"""Store what the spans of a request tell. `summarise_traces` makes samples of it when a step is complete."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.ports import Store
from core.traces import SpanCount, SpanMark
from pipelines.collect.steps import OpenSteps, step_of
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp_spans import Span, TraceRequest
from pipelines.stores.dead_letters import REJECTED

#: Of dead letters and the cursor.
SOURCE = "otlp traces"
#: So many operations of a service are counted; the others are counted together.
MAX_OPERATIONS = 100
OTHER = "other"
#: An operation that was not seen for so long makes room for another one.
OPERATION_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class StoredTraces:
    """What became of the spans of a request.

    Attributes:
        repeated: spans that were stored before.
        rejected: spans that are not stored; they are dead letters.
        first_rejected: why; null: none was rejected.
    """

    repeated: int
    rejected: int
    first_rejected: str | None


def store_traces(platform: Platform, request: TraceRequest) -> StoredTraces:
    """Count the spans of a request, each once, and store the calls that they name, in one transaction.

    Raises:
        UnavailableError: the database does not answer; nothing of the request is kept.
    """
    store, now = platform.store, platform.clock.now()
    with store.atomically():
        store.spans.hold()
        marks = [SpanMark(one.key, one.is_entry, one.parent, one.service) for one in request.spans]
        new = store.spans.remember(marks, now)
        spans = _each_once(request.spans, new)
        accepted, rejected = _timely(spans, OpenSteps(store, SOURCE, now), now)
        rejected = [*request.rejected, *rejected]
        store.spans.add(_counts(store, [one for one in accepted if one.is_entry], now))
        store.service_edges.see(_named_calls(store, spans), now)
        store.dead_letters.add(SOURCE, pl.DataFrame(rejected, schema=REJECTED, orient="row"))
    late = len(spans) - len(accepted)
    return StoredTraces(
        repeated=len(request.spans) - len(spans),
        rejected=request.rejected_spans + late,
        first_rejected=rejected[0][1] if rejected else None,
    )


def _each_once(spans: Iterable[Span], new: set[tuple[int, bool]]) -> list[Span]:
    """The spans that are new, and each of them once."""
    found: dict[tuple[int, bool], Span] = {}
    for one in spans:
        if (one.key, one.is_entry) in new:
            found.setdefault((one.key, one.is_entry), one)
    return list(found.values())


def _timely(
    spans: Sequence[Span], steps: OpenSteps, now: datetime
) -> tuple[list[Span], list[tuple[str, str]]]:
    """The spans whose step is open, and a dead letter for the others of each operation."""
    accepted, others = [], Counter[tuple[str, str, str]]()
    for one in spans:
        problem = steps.problem(one.end_ns)
        if problem is None:
            accepted.append(one)
        else:
            others[one.service, one.operation, problem] += 1
    rejected = []
    for (service, operation, problem), count in others.items():
        row = {"service": service, "operation": operation, "spans": count, "received": now.isoformat()}
        rejected.append((json.dumps(row), f"the span ended {problem}"))
    return accepted, rejected


def _counts(store: Store, spans: Sequence[Span], now: datetime) -> list[SpanCount]:
    """The counts of some spans, by step, operation and bucket."""
    names = _operations(store, spans, now)
    # a span counts in the step in which it ended, because it is sent when it has ended
    found: dict[tuple[datetime, str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for one in spans:
        operation = names[one.service, one.operation]
        counted = found[step_of(one.end_ns), one.service, operation, one.bucket]
        counted[0] += 1
        counted[1] += one.is_error
    return [
        SpanCount(
            at=at,
            service=service,
            operation=operation,
            bucket=bucket,
            requests=requests,
            errors=errors,
        )
        for (at, service, operation, bucket), (requests, errors) in found.items()
    ]


def _operations(store: Store, spans: Sequence[Span], now: datetime) -> Mapping[tuple[str, str], str]:
    """Service and operation -> the operation as which it is counted; `OTHER` beyond `MAX_OPERATIONS` of a service."""
    sent = sorted({(one.service, one.operation) for one in spans})
    known = store.spans.operations(sorted({service for service, _ in sent}), now - OPERATION_LIFETIME)
    names: dict[tuple[str, str], str] = {}
    for service, operation in sent:
        admitted = known.setdefault(service, set())
        if operation not in admitted and len(admitted) >= MAX_OPERATIONS:
            names[service, operation] = OTHER
        else:
            admitted.add(operation)
            names[service, operation] = operation
    store.spans.see_operations(sorted({(service, name) for (service, _), name in names.items()}), now)
    return names


def _named_calls(store: Store, spans: Iterable[Span]) -> list[tuple[str, str]]:
    """Calls of which the caller names the callee, or a host that is named like a known service."""
    hosts = {(one.service, host) for one in spans if one.peer is None for host in one.hosts}
    known = store.service_edges.known_among(sorted({host for _, host in hosts}))
    named = {(one.service, one.peer) for one in spans if one.peer is not None}
    found = named | {(caller, host) for caller, host in hosts if host in known}
    return sorted((caller, callee) for caller, callee in found if caller != callee)
