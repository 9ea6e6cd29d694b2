"""Counts of spans whose step is not complete yet, the spans of the last minutes, and the calls between services."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.domain import ServiceEdges
from core.traces import SpanCount, SpanMark
from pipelines.stores.session import Session, utc, utc_or_none
from pipelines.stores.tenant_locks import TenantLock, hold

#: The time at which something was seen last is stored again after this time, so that most requests write nothing.
SEEN_EVERY = timedelta(hours=1)


def oldest_step(session: Session, table: str) -> datetime | None:
    """The first step that has counts in a table; null when there are none."""
    rows = session.rows(f"SELECT min(at) AS at FROM {table} WHERE tenant = %(tenant)s", {})
    return utc_or_none(rows[0]["at"])


class SpanStore:
    """The spans of one tenant (`core.traces.SpanRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        hold(self._session, TenantLock.SPAN_STEPS, shared=not change)

    def remember(self, marks: Sequence[SpanMark], now: datetime) -> set[tuple[int, bool]]:
        """Those spans that are new: `span` and `is_entry`."""
        # in order, so that two writers wait for each other in the same order
        rows = self._session.rows(
            "INSERT INTO recent_spans (tenant, span, is_entry, parent, service, seen_at)"
            " SELECT %(tenant)s, s.*, %(now)s FROM unnest(%(spans)s::bigint[], %(entries)s::boolean[],"
            " %(parents)s::bigint[], %(services)s::text[]) AS s (span, is_entry, parent, service)"
            " ORDER BY span, is_entry ON CONFLICT DO NOTHING RETURNING span, is_entry",
            {
                "spans": [one.span for one in marks],
                "entries": [one.is_entry for one in marks],
                "parents": [one.parent for one in marks],
                "services": [one.service for one in marks],
                "now": now,
            },
        )
        return {(row["span"], row["is_entry"]) for row in rows}

    def operations(self, services: Sequence[str], since: datetime) -> dict[str, set[str]]:
        """Service -> its operations that were seen since that time."""
        rows = self._session.rows(
            "SELECT service, operation FROM operations WHERE tenant = %(tenant)s"
            " AND service = ANY(%(services)s::text[]) AND seen_at >= %(since)s",
            {"services": list(services), "since": since},
        )
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(row["service"], set()).add(row["operation"])
        return found

    def see_operations(self, operations: Sequence[tuple[str, str]], now: datetime) -> None:
        """Services and operations that were seen now."""
        self._session.execute(
            "INSERT INTO operations AS o (tenant, service, operation, seen_at) SELECT %(tenant)s, s.*, %(now)s"
            " FROM unnest(%(services)s::text[], %(operations)s::text[]) AS s (service, operation)"
            " ORDER BY service, operation ON CONFLICT (tenant, service, operation)"
            " DO UPDATE SET seen_at = excluded.seen_at WHERE o.seen_at < %(stale)s",
            {
                "services": [service for service, _ in operations],
                "operations": [operation for _, operation in operations],
                "now": now,
                "stale": now - SEEN_EVERY,
            },
        )

    def add(self, counts: Sequence[SpanCount]) -> None:
        """Add to the stored counts."""
        self._session.execute(
            "INSERT INTO span_counts AS c (tenant, at, service, operation, bucket, requests, errors)"
            " SELECT %(tenant)s, s.* FROM unnest(%(at)s::timestamptz[], %(services)s::text[],"
            " %(operations)s::text[], %(buckets)s::smallint[], %(requests)s::bigint[], %(errors)s::bigint[])"
            " AS s (at, service, operation, bucket, requests, errors) ORDER BY at, service, operation, bucket"
            " ON CONFLICT (tenant, at, service, operation, bucket)"
            " DO UPDATE SET requests = c.requests + excluded.requests, errors = c.errors + excluded.errors",
            {
                "at": [one.at for one in counts],
                "services": [one.service for one in counts],
                "operations": [one.operation for one in counts],
                "buckets": [one.bucket for one in counts],
                "requests": [one.requests for one in counts],
                "errors": [one.errors for one in counts],
            },
        )

    def oldest(self) -> datetime | None:
        """The first step that has counts; null when there are none."""
        return oldest_step(self._session, "span_counts")

    def take(self, before: datetime) -> list[SpanCount]:
        """Remove and return the counts of the steps before that time."""
        rows = self._session.rows(
            "DELETE FROM span_counts WHERE tenant = %(tenant)s AND at < %(before)s"
            " RETURNING at, service, operation, bucket, requests, errors",
            {"before": before},
        )
        return [SpanCount(**{**row, "at": utc(row["at"])}) for row in rows]

    def calls(self) -> Sequence[tuple[str, str]]:
        """Pairs of services of which one has called the other, among the spans that are remembered."""
        rows = self._session.rows(
            "SELECT DISTINCT caller.service AS caller, callee.service AS callee"
            " FROM recent_spans AS callee JOIN recent_spans AS caller"
            " ON caller.tenant = callee.tenant AND caller.span = callee.parent"
            " WHERE callee.tenant = %(tenant)s AND callee.is_entry AND caller.service <> callee.service"
            " ORDER BY 1, 2",
            {},
        )
        return [(row["caller"], row["callee"]) for row in rows]

    def forget(self, before: datetime, operations_before: datetime) -> None:
        """Forget spans that were seen before a time, and operations that were not seen since another."""
        self._session.execute(
            "DELETE FROM recent_spans WHERE tenant = %(tenant)s AND seen_at < %(before)s", {"before": before}
        )
        self._session.execute(
            "DELETE FROM operations WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": operations_before},
        )


class ServiceEdgeStore:
    """The observed service graph of one tenant (`core.traces.ServiceEdgeRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def see(self, edges: ServiceEdges, now: datetime) -> None:
        """Edges that were observed now."""
        self._session.execute(
            "INSERT INTO service_edges AS e (tenant, caller, callee, seen_at) SELECT %(tenant)s, s.*, %(now)s"
            " FROM unnest(%(callers)s::text[], %(callees)s::text[]) AS s (caller, callee)"
            " ORDER BY caller, callee ON CONFLICT (tenant, caller, callee)"
            " DO UPDATE SET seen_at = excluded.seen_at WHERE e.seen_at < %(stale)s",
            {
                "callers": [caller for caller, _ in edges],
                "callees": [callee for _, callee in edges],
                "now": now,
                "stale": now - SEEN_EVERY,
            },
        )

    def known_among(self, services: Sequence[str]) -> set[str]:
        """Those of the names that are names of services with series."""
        rows = self._session.rows(
            "SELECT DISTINCT service FROM series WHERE tenant = %(tenant)s AND service = ANY(%(names)s::text[])",
            {"names": list(services)},
        )
        return {row["service"] for row in rows}

    def since(self, start: datetime) -> ServiceEdges:
        """Edges that were observed at or after that time, sorted."""
        rows = self._session.rows(
            "SELECT caller, callee FROM service_edges WHERE tenant = %(tenant)s AND seen_at >= %(start)s"
            " ORDER BY caller, callee",
            {"start": start},
        )
        return tuple((row["caller"], row["callee"]) for row in rows)
