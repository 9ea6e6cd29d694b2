"""Events (deploys, config changes, maintenance) and the incidents that people or other tools reported."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.alert_changes import AlertChange
from core.domain import Event, EventKind, Incident, Severity
from core.errors import InputError
from pipelines.stores.session import Session, utc, utc_or_none


class EventStore:
    """The events of one tenant (`core.ports.EventRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, events: Iterable[Event]) -> int:
        """Store events; returns how many are new. A known event takes the end of its window from the given one.

        Raises:
            InputError: an event belongs to another tenant.
        """
        new = 0
        for event in {event.event_id: event for event in events}.values():
            _require_tenant(event, self._session)
            rows = self._session.rows(
                "INSERT INTO events (tenant, event_id, service, kind, at, until, title, version, metric, labels) VALUES"
                " (%(tenant)s, %(id)s, %(service)s, %(kind)s, %(at)s, %(until)s, %(title)s, %(version)s,"
                " %(metric)s, %(labels)s)"
                " ON CONFLICT (tenant, event_id) DO UPDATE SET until = coalesce(excluded.until, events.until)"
                " RETURNING xmax = 0 AS inserted",
                {
                    "id": event.event_id,
                    "service": event.service,
                    "kind": event.kind,
                    "at": event.at,
                    "until": event.until,
                    "title": event.title,
                    "version": event.version,
                    "metric": event.metric,
                    "labels": Jsonb(dict(event.labels)),
                },
            )
            new += bool(rows[0]["inserted"])
        return new

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Event]:
        """Events that touch [start, end), those of all services ("*") included, by time.

        An event with an end is included when it overlaps; one without an end when it starts inside.
        """
        rows = self._session.rows(
            "SELECT tenant, service, kind, at, until, title, version, metric, labels FROM events"
            " WHERE tenant = %(tenant)s AND at < %(end)s"
            " AND (at >= %(start)s OR until > %(start)s)"
            " AND (%(service)s::text IS NULL OR service IN (%(service)s, '*'))"
            " ORDER BY at, event_id",
            {"start": start, "end": end, "service": service},
        )
        return [_event(row) for row in rows]


class IncidentStore:
    """The reported incidents of one tenant (`core.ports.IncidentRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, incidents: Iterable[Incident]) -> int:
        """Store incidents; returns how many are new. A known incident takes the end and the severity of the given one.

        Raises:
            InputError: an incident belongs to another tenant.
        """
        new = 0
        for incident in {incident.incident_id: incident for incident in incidents}.values():
            _require_tenant(incident, self._session)
            rows = self._session.rows(
                "INSERT INTO incidents (tenant, incident_id, service, type, severity, start_at, end_at)"
                " VALUES (%(tenant)s, %(id)s, %(service)s, %(type)s, %(severity)s, %(start)s, %(end)s)"
                " ON CONFLICT (tenant, incident_id) DO UPDATE SET severity = excluded.severity,"
                " end_at = coalesce(excluded.end_at, incidents.end_at) RETURNING xmax = 0 AS inserted",
                {
                    "id": incident.incident_id,
                    "service": incident.service,
                    "type": incident.type,
                    "severity": incident.severity,
                    "start": incident.start,
                    "end": incident.end,
                },
            )
            new += bool(rows[0]["inserted"])
        return new

    def change(self, changes: Iterable[AlertChange]) -> int:
        """Open and end incidents; returns how many are new.

        A change that arrives again changes nothing. An end whose start has not arrived is stored as an incident
        without duration; when the start arrives, it takes this end.

        Raises:
            InputError: a change belongs to another tenant.
        """
        new = 0
        for change in sorted(changes, key=lambda one: (one.at, not one.firing)):
            _require_tenant(change, self._session)
            new += self._open(change) if change.firing else self._end(change)
        return new

    def _open(self, change: AlertChange) -> int:
        if self._same(change, "start_at <= %(at)s AND (end_at IS NULL OR end_at > %(at)s)"):
            return 0
        later = self._same(change, "start_at >= %(at)s")
        if not later or later[0]["start_at"] != later[0]["end_at"]:
            return self.add([_incident_of(change, None)])
        self._session.execute(
            "DELETE FROM incidents WHERE tenant = %(tenant)s AND incident_id = %(id)s",
            {"id": later[0]["incident_id"]},
        )
        self.add([_incident_of(change, utc(later[0]["end_at"]))])
        return 0

    def _end(self, change: AlertChange) -> int:
        ended = self._session.execute(
            f"UPDATE incidents SET end_at = %(at)s WHERE {_SAME_ALERT} AND end_at IS NULL AND start_at <= %(at)s",
            _alert(change),
        )
        if ended or self._same(change, "start_at <= %(at)s AND end_at >= %(at)s"):
            return 0
        return self.add([_incident_of(change, change.at)])

    def _same(self, change: AlertChange, condition: str) -> list[DictRow]:
        """The first incident of the same alert that fulfils the condition, if there is one."""
        return self._session.rows(
            f"SELECT incident_id, start_at, end_at FROM incidents WHERE {_SAME_ALERT} AND {condition}"
            " ORDER BY start_at LIMIT 1",
            _alert(change),
        )

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Incident]:
        """Incidents that overlap [start, end), by start. An incident without an end still lasts."""
        rows = self._session.rows(
            "SELECT tenant, service, type, severity, start_at, end_at FROM incidents"
            " WHERE tenant = %(tenant)s AND start_at < %(end)s"
            " AND (end_at IS NULL OR end_at > %(start)s OR start_at >= %(start)s)"
            " AND (%(service)s::text IS NULL OR service = %(service)s)"
            " ORDER BY start_at, incident_id",
            {"start": start, "end": end, "service": service},
        )
        return [_incident(row) for row in rows]


_SAME_ALERT = "tenant = %(tenant)s AND service = %(service)s AND type = %(type)s"


def _alert(change: AlertChange) -> dict[str, Any]:
    return {"service": change.service, "type": change.type, "at": change.at}


def _incident_of(change: AlertChange, end: datetime | None) -> Incident:
    return Incident(
        tenant=change.tenant,
        service=change.service,
        type=change.type,
        severity=change.severity,
        start=change.at,
        end=end,
    )


def _require_tenant(item: Event | Incident | AlertChange, session: Session) -> None:
    if item.tenant != session.tenant:
        raise InputError(f"{type(item).__name__.lower()} of {item.service} belongs to another tenant")


def _event(row: DictRow) -> Event:
    return Event(
        **{**row, "kind": EventKind(row["kind"]), "at": utc(row["at"]), "until": utc_or_none(row["until"])}
    )


def _incident(row: DictRow) -> Incident:
    return Incident(
        tenant=row["tenant"],
        service=row["service"],
        type=row["type"],
        severity=Severity(row["severity"]),
        start=utc(row["start_at"]),
        end=utc_or_none(row["end_at"]),
    )
