"""The feedback of people about signals, hypotheses and diagnoses."""

from collections.abc import Iterable, Sequence

from core.diagnosis import Feedback, FeedbackValue
from core.errors import InputError
from pipelines.stores.session import Session, utc


class FeedbackStore:
    """The feedback of one tenant (`core.ports.FeedbackRepository`): each entry is stored once and never changed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, feedback: Iterable[Feedback]) -> int:
        """Store feedback; returns how many entries are new.

        Raises:
            InputError: an entry belongs to another tenant.
        """
        new = 0
        with self._session.atomically():
            for one in feedback:
                if one.tenant != self._session.tenant:
                    raise InputError("the feedback belongs to another tenant")
                new += self._session.execute(
                    "INSERT INTO feedback (tenant, subject_id, value, at, by, note) VALUES"
                    " (%(tenant)s, %(subject_id)s, %(value)s, %(at)s, %(by)s, %(note)s)"
                    " ON CONFLICT DO NOTHING",
                    {
                        "subject_id": one.subject_id,
                        "value": one.value,
                        "at": one.at,
                        "by": one.by,
                        "note": one.note,
                    },
                )
        return new

    def list(self, subject_ids: Sequence[str] | None = None) -> list[Feedback]:
        """All feedback, or only that on some subjects, oldest first. The newest entry on a subject counts."""
        rows = self._session.rows(
            "SELECT tenant, subject_id, value, at, by, note FROM feedback WHERE tenant = %(tenant)s"
            " AND (%(ids)s::text[] IS NULL OR subject_id = ANY(%(ids)s)) ORDER BY at, id",
            {"ids": None if subject_ids is None else list(subject_ids)},
        )
        return [
            Feedback(**{**row, "value": FeedbackValue(row["value"]), "at": utc(row["at"])}) for row in rows
        ]
