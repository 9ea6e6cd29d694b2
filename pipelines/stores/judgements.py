"""What was judged and what people said: verdicts, feedback, and the log of every transition."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from core.diagnosis import Feedback, IncidentState, Transition, Verdict
from core.errors import InputError
from pipelines.stores.session import Session, utc

_VERDICT = TypeAdapter(Verdict)


class FeedbackStore:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, feedback: Iterable[Feedback]) -> int:
        """Keep what was said, each once; returns how much was new.

        Raises:
            InputError: it belongs to another tenant.
        """
        new = 0
        with self._session.atomically():
            for said in feedback:
                _require_tenant(said, self._session)
                new += self._session.execute(
                    "INSERT INTO feedback (tenant, subject_id, accepted, at, by, note) VALUES"
                    " (%(tenant)s, %(subject_id)s, %(accepted)s, %(at)s, %(by)s, %(note)s)"
                    " ON CONFLICT DO NOTHING",
                    {
                        "subject_id": said.subject_id,
                        "accepted": said.accepted,
                        "at": said.at,
                        "by": said.by,
                        "note": said.note,
                    },
                )
        return new

    def list(self, subject_ids: Sequence[str] | None = None) -> list[Feedback]:
        """All that was said, or that on some subjects, oldest first: the last on a subject counts."""
        rows = self._session.rows(
            "SELECT tenant, subject_id, accepted, at, by, note FROM feedback WHERE tenant = %(tenant)s"
            " AND (%(ids)s::text[] IS NULL OR subject_id = ANY(%(ids)s)) ORDER BY at, id",
            {"ids": None if subject_ids is None else list(subject_ids)},
        )
        return [Feedback(**{**row, "at": utc(row["at"])}) for row in rows]


class Verdicts:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, verdicts: Iterable[Verdict]) -> int:
        """Keep verdicts, each once and as it was first given; returns how many were new.

        Raises:
            InputError: a verdict belongs to another tenant.
        """
        new = 0
        with self._session.atomically():
            for verdict in verdicts:
                _require_tenant(verdict, self._session)
                new += self._session.execute(
                    "INSERT INTO verdicts (tenant, verdict_id, case_id, service, made_at, body) VALUES"
                    " (%(tenant)s, %(verdict_id)s, %(case_id)s, %(service)s, %(made_at)s, %(body)s)"
                    " ON CONFLICT DO NOTHING",
                    {
                        "verdict_id": verdict.verdict_id,
                        "case_id": verdict.case_id,
                        "service": verdict.service,
                        "made_at": verdict.made_at,
                        "body": Jsonb(_VERDICT.dump_python(verdict, mode="json")),
                    },
                )
        return new

    def list(
        self, *, case_id: str | None = None, since: datetime | None = None, limit: int = 1000
    ) -> list[Verdict]:
        """Verdicts, the newest first; of one case, or from a time on, if asked."""
        rows = self._session.rows(
            "SELECT body FROM verdicts WHERE tenant = %(tenant)s"
            " AND (%(case_id)s::text IS NULL OR case_id = %(case_id)s)"
            " AND (%(since)s::timestamptz IS NULL OR made_at >= %(since)s)"
            " ORDER BY made_at DESC, verdict_id LIMIT %(limit)s",
            {"case_id": case_id, "since": since, "limit": limit},
        )
        return [_VERDICT.validate_python(row["body"]) for row in rows]


class Transitions:
    """Append-only: a trigger in the database refuses to change or delete a row."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, transition: Transition) -> None:
        """Log a step.

        Raises:
            InputError: it belongs to another tenant.
        """
        _require_tenant(transition, self._session)
        self._session.execute(
            "INSERT INTO transitions (tenant, case_id, before, after, at, by, reason) VALUES"
            " (%(tenant)s, %(case_id)s, %(before)s, %(after)s, %(at)s, %(by)s, %(reason)s)",
            {
                "case_id": transition.case_id,
                "before": transition.before,
                "after": transition.after,
                "at": transition.at,
                "by": transition.by,
                "reason": transition.reason,
            },
        )

    def list(self, case_id: str | None = None) -> list[Transition]:
        """The whole log, or that of one case, in the order in which it was written."""
        rows = self._session.rows(
            "SELECT tenant, case_id, before, after, at, by, reason FROM transitions"
            " WHERE tenant = %(tenant)s AND (%(case_id)s::text IS NULL OR case_id = %(case_id)s) ORDER BY id",
            {"case_id": case_id},
        )
        return [
            Transition(
                tenant=row["tenant"],
                case_id=row["case_id"],
                before=None if row["before"] is None else IncidentState(row["before"]),
                after=IncidentState(row["after"]),
                at=utc(row["at"]),
                by=row["by"],
                reason=row["reason"],
            )
            for row in rows
        ]


def _require_tenant(item: Feedback | Verdict | Transition, session: Session) -> None:
    if item.tenant != session.tenant:
        raise InputError(f"that {type(item).__name__.lower()} belongs to another tenant")
