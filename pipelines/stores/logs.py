"""Counts of log lines whose step is not complete yet, and the requests of the last minutes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.logs import LogCount, LogTemplate
from pipelines.stores.session import Session, utc
from pipelines.stores.tenant_locks import TenantLock, hold
from pipelines.stores.traces import SEEN_EVERY, oldest_step

#: A signal about a new template ends an hour after its last line, so that time is stored more often.
_TEMPLATE_SEEN_EVERY = timedelta(minutes=1)


class LogStore:
    """The logs of one tenant (`core.logs.LogRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        hold(self._session, TenantLock.LOG_STEPS, shared=not change)

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
            "templates": [one.template for one in counts],
            "lines": [one.lines for one in counts],
        }
        # in order, so that two writers wait for each other in the same order
        self._session.execute(
            "INSERT INTO log_counts AS c (tenant, at, service, level, template, lines)"
            " SELECT %(tenant)s, s.* FROM unnest(%(at)s::timestamptz[], %(services)s::text[],"
            " %(levels)s::text[], %(templates)s::text[], %(lines)s::bigint[])"
            " AS s (at, service, level, template, lines) ORDER BY at, service, level, template"
            " ON CONFLICT (tenant, at, service, level, template)"
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
            " RETURNING at, service, level, template, lines",
            {"before": before},
        )
        return [LogCount(**{**row, "at": utc(row["at"])}) for row in rows]

    def levels(self, since: datetime) -> list[tuple[str, str]]:
        """Services and levels of which lines came at or after that time."""
        rows = self._session.rows(
            "SELECT service, level FROM log_levels WHERE tenant = %(tenant)s AND seen_at >= %(since)s"
            " ORDER BY service, level",
            {"since": since},
        )
        return [(row["service"], row["level"]) for row in rows]

    def hold_templates(self) -> None:
        """Let no other transaction change the templates until the end of this one."""
        hold(self._session, TenantLock.TEMPLATES)

    def templates(self, services: Sequence[str] | None = None) -> list[LogTemplate]:
        """The templates of these services; null: of all."""
        rows = self._session.rows(
            "SELECT tenant, service, name, pattern, level, example, first_seen, seen_at FROM log_templates"
            " WHERE tenant = %(tenant)s AND (%(services)s::text[] IS NULL OR service = ANY(%(services)s::text[]))"
            " ORDER BY service, name",
            {"services": None if services is None else list(services)},
        )
        return [
            LogTemplate(**{**row, "first_seen": utc(row["first_seen"]), "seen_at": utc(row["seen_at"])})
            for row in rows
        ]

    def save_templates(self, templates: Sequence[LogTemplate]) -> None:
        """Store templates; of a known one, the pattern changes."""
        names = ("service", "name", "pattern", "level", "example", "first_seen", "seen_at")
        self._session.execute(
            "INSERT INTO log_templates (tenant, service, name, pattern, level, example, first_seen, seen_at)"
            " SELECT %(tenant)s, s.* FROM unnest(%(service)s::text[], %(name)s::text[], %(pattern)s::text[],"
            " %(level)s::text[], %(example)s::text[], %(first_seen)s::timestamptz[], %(seen_at)s::timestamptz[])"
            " AS s ON CONFLICT (tenant, service, name) DO UPDATE SET pattern = excluded.pattern",
            {name: [getattr(one, name) for one in templates] for name in names},
        )

    def see_templates(self, templates: Sequence[tuple[str, str]], now: datetime) -> None:
        """Services and names of templates of which lines came now."""
        # locked in order, so that two writers wait for each other in the same order
        self._session.execute(
            "UPDATE log_templates AS t SET seen_at = %(now)s FROM ("
            " SELECT service, name FROM log_templates WHERE tenant = %(tenant)s AND seen_at < %(stale)s"
            " AND (service, name) IN (SELECT * FROM unnest(%(services)s::text[], %(names)s::text[]))"
            " ORDER BY service, name FOR UPDATE) AS seen"
            " WHERE t.tenant = %(tenant)s AND t.service = seen.service AND t.name = seen.name",
            {
                "services": [service for service, _ in templates],
                "names": [name for _, name in templates],
                "now": now,
                "stale": now - _TEMPLATE_SEEN_EVERY,
            },
        )

    def forget(self, before: datetime, levels_before: datetime, templates_before: datetime) -> None:
        """Forget requests that were seen before a time, and levels and templates that were not seen since others."""
        self._session.execute(
            "DELETE FROM log_templates WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": templates_before},
        )
        self._session.execute(
            "DELETE FROM recent_log_requests WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": before},
        )
        self._session.execute(
            "DELETE FROM log_levels WHERE tenant = %(tenant)s AND seen_at < %(before)s",
            {"before": levels_before},
        )
