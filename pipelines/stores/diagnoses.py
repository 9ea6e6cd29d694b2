"""Diagnoses of incidents, and the log of each incident's state transitions."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from core.diagnosis import CauseKind, DiagnosisRecord, IncidentState, Transition
from core.errors import InputError
from pipelines.stores.session import Session, utc

_DIAGNOSIS = TypeAdapter(DiagnosisRecord)


class DiagnosisStore:
    """The diagnoses of one tenant (`core.diagnosis.DiagnosisRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._causes: dict[str, CauseKind | None] = {}

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

    def of_signals(self, signal_ids: Collection[str], *, until: datetime) -> Sequence[DiagnosisRecord]:
        """The diagnoses until a moment of the incidents that ever had one of these signals, newest first.

        Of those of the same incident with the same signals, only the newest: a watch cycle may add one every time.
        """
        rows = self._session.rows(
            "SELECT body FROM (SELECT DISTINCT ON (incident_id, body -> 'signal_ids') made_at, diagnosis_id, body"
            " FROM diagnoses WHERE tenant = %(tenant)s AND made_at <= %(until)s AND incident_id IN"
            "  (SELECT incident_id FROM diagnoses"
            "  WHERE tenant = %(tenant)s AND body -> 'signal_ids' ?| %(ids)s::text[])"
            " ORDER BY incident_id, body -> 'signal_ids', made_at DESC, diagnosis_id) AS newest"
            " ORDER BY made_at DESC, diagnosis_id",
            {"ids": list(signal_ids), "until": until},
        )
        return [_DIAGNOSIS.validate_python(row["body"]) for row in rows]

    def causes(self, subject_ids: Collection[str]) -> dict[str, CauseKind]:
        """The kind of cause of hypotheses by their ids, and of the likeliest one of diagnoses; of those that exist.

        All diagnoses are read when an id is new, and only then: stored diagnoses never change.
        """
        if unknown := set(subject_ids) - self._causes.keys():
            self._causes |= dict.fromkeys(unknown)
            for record in self.list():
                top = record.diagnosis.top
                found = {
                    one.hypothesis.hypothesis_id: one.hypothesis.cause for one in record.diagnosis.ranked
                }
                if top is not None:
                    found[record.diagnosis_id] = top.hypothesis.cause
                self._causes |= {key: cause for key, cause in found.items() if key in unknown}
        return {key: cause for key in subject_ids if (cause := self._causes[key]) is not None}


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

    def states(self, incident_ids: Collection[str]) -> dict[str, IncidentState]:
        """The state of each of these incidents that has one."""
        rows = self._session.rows(
            "SELECT DISTINCT ON (incident_id) incident_id, after FROM transitions"
            " WHERE tenant = %(tenant)s AND incident_id = ANY(%(ids)s::text[]) ORDER BY incident_id, id DESC",
            {"ids": list(incident_ids)},
        )
        return {row["incident_id"]: IncidentState(row["after"]) for row in rows}


def _require_tenant(item: DiagnosisRecord | Transition, session: Session) -> None:
    if item.tenant != session.tenant:
        raise InputError(f"that {type(item).__name__.lower()} belongs to another tenant")
