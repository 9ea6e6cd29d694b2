"""Counts of log lines whose step is not complete yet, and the requests of the last minutes."""

from collections.abc import Sequence
from datetime import datetime

from core.logs import LogCount
from pipelines.stores.session import Session, utc
from pipelines.stores.traces import SEEN_EVERY, hold_steps, oldest_step

#: First half of the key of the advisory lock on the complete steps of a tenant; the second half is the tenant.
_LOCK = 0x6C6F6773


class LogStore:
    """The logs of one tenant (`core.logs.LogRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        hold_steps(self._session, _LOCK, change=change)

    def is_repeated(self, digest: int, now: datetime) -> bool:
        """Whether a request with this digest has come before; it is remembered."""
        return not self._session.execute(
            "INSERT INTO recent_log_requests (tenant, digest, seen_at) VALUES (%(tenant)s, %(digest)s, %(now)s)"
            " ON CONFLICT DO NOTHING",
            {"digest": digest, "now": now},
        )

    def add(self, counts: Sequence[LogCount], now: datetime) -> None:
        """Add to the stored counts."""
        columns = {
            "at": [one.at for one in counts],
            "services": [one.service for one in counts],
            "levels": [one.level for one in counts],
            "lines": [one.lines for one in counts],
        }
        # in order, so that two writers wait for each other in the same order
        self._session.execute(
            "INSERT INTO log_counts AS c (tenant, at, service, level, lines)"
            " SELECT %(tenant)s, s.* FROM unnest(%(at)s::timestamptz[], %(services)s::text[],"
            " %(levels)s::text[], %(lines)s::bigint[]) AS s (at, service, level, lines)"
            " ORDER BY at, service, level ON CONFLICT (tenant, at, service, level)"
            " DO UPDATE SET lines = c.lines + excluded.lines",
            columns,
        )
        self._session.execute(
            "INSERT INTO log_levels AS l (tenant, service, level, seen_at)"
            " SELECT DISTINCT %(tenant)s, service, level, %(now)s::timestamptz"
            " FROM unnest(%(services)s::text[], %(levels)s::text[]) AS s (service, level)"
            " ORDER BY service, level ON CONFLICT (tenant, service, level)"
            " DO UPDATE SET seen_at = excluded.seen_at WHERE l.seen_at < %(stale)s",
            {**columns, "now": now, "stale": now - SEEN_EVERY},
        )

    def oldest(self) -> datetime | None:
        """The first step that has counts; null when there are none."""
        return oldest_step(self._session, "log_counts")

    def take(self, before: datetime) -> list[LogCount]:
        """Remove and return the counts of the steps before that time."""
        rows = self._session.rows(
            "DELETE FROM log_counts WHERE tenant = %(tenant)s AND at < %(before)s"
            " RETURNING at, service, level, lines",
            {"before": before},
        )
        return [LogCount(utc(row["at"]), row["service"], row["level"], row["lines"]) for row in rows]

    def levels(self, since: datetime) -> list[tuple[str, str]]:
        """Services and levels of which lines came at or after that time."""
        rows = self._session.rows(
            "SELECT service, level FROM log_levels WHERE tenant = %(tenant)s AND seen_at >= %(since)s"
            " ORDER BY service, level",
            {"since": since},
        )
        return [(row["service"], row["level"]) for row in rows]

    def forget(self, before: datetime, levels_before: datetime) -> None:
        """Forget requests that were seen before a time, and levels that were not seen since another."""
        self._session.execute(
            "DELETE FROM recent_log_requests WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": before},
        )
        self._session.execute(
            "DELETE FROM log_levels WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": levels_before},
        )
