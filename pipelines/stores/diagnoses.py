"""Diagnoses of incidents, and the log of each incident's state transitions."""

from collections.abc import Iterable
from datetime import datetime

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from core.diagnosis import DiagnosisRecord, IncidentState, Transition
from core.errors import InputError
from pipelines.stores.session import Session, utc

_DIAGNOSIS = TypeAdapter(DiagnosisRecord)


class DiagnosisStore:
    """The diagnoses of one tenant (`core.diagnosis.DiagnosisRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, records: Iterable[DiagnosisRecord]) -> int:
        """Store diagnoses, each once and unchanged; returns how many are new.

        Raises:
            InputError: a diagnosis belongs to another tenant.
        """
        new = 0
        with self._session.atomically():
            for record in records:
                _require_tenant(record, self._session)
                new += self._session.execute(
                    "INSERT INTO diagnoses (tenant, diagnosis_id, incident_id, service, made_at, body) VALUES"
                    " (%(tenant)s, %(diagnosis_id)s, %(incident_id)s, %(service)s, %(made_at)s, %(body)s)"
                    " ON CONFLICT DO NOTHING",
                    {
                        "diagnosis_id": record.diagnosis_id,
                        "incident_id": record.incident_id,
                        "service": record.service,
                        "made_at": record.made_at,
                        "body": Jsonb(_DIAGNOSIS.dump_python(record, mode="json")),
                    },
                )
        return new

    def list(
        self, *, incident_id: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> list[DiagnosisRecord]:
        """Diagnoses, newest first: all, those of one incident, or those made since a time."""
        rows = self._session.rows(
            "SELECT body FROM diagnoses WHERE tenant = %(tenant)s"
            " AND (%(incident_id)s::text IS NULL OR incident_id = %(incident_id)s)"
            " AND (%(since)s::timestamptz IS NULL OR made_at >= %(since)s)"
            " ORDER BY made_at DESC, diagnosis_id LIMIT %(limit)s",
            {"incident_id": incident_id, "since": since, "limit": limit},
        )
        return [_DIAGNOSIS.validate_python(row["body"]) for row in rows]


class TransitionStore:
    """The log of state transitions (`core.diagnosis.TransitionRepository`).

    It is append-only: a trigger in the database refuses to change or delete a row.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, transition: Transition) -> None:
        """Log one state transition.

        Raises:
            InputError: it belongs to another tenant.
        """
        _require_tenant(transition, self._session)
        self._session.execute(
            "INSERT INTO transitions (tenant, incident_id, before, after, at, by, reason) VALUES"
            " (%(tenant)s, %(incident_id)s, %(before)s, %(after)s, %(at)s, %(by)s, %(reason)s)",
            {
                "incident_id": transition.incident_id,
                "before": transition.before,
                "after": transition.after,
                "at": transition.at,
                "by": transition.by,
                "reason": transition.reason,
            },
        )

    def list(self, incident_id: str | None = None) -> list[Transition]:
        """The whole log, or that of one incident, in the order in which it was written."""
        rows = self._session.rows(
            "SELECT tenant, incident_id, before, after, at, by, reason FROM transitions"
            " WHERE tenant = %(tenant)s AND (%(incident_id)s::text IS NULL OR incident_id = %(incident_id)s)"
            " ORDER BY id",
            {"incident_id": incident_id},
        )
        return [
            Transition(
                tenant=row["tenant"],
                incident_id=row["incident_id"],
                before=None if row["before"] is None else IncidentState(row["before"]),
                after=IncidentState(row["after"]),
                at=utc(row["at"]),
                by=row["by"],
                reason=row["reason"],
            )
            for row in rows
        ]


def _require_tenant(item: DiagnosisRecord | Transition, session: Session) -> None:
    if item.tenant != session.tenant:
        raise InputError(f"that {type(item).__name__.lower()} belongs to another tenant")
