"""What two sources declare differently about a metric, and when this was seen last."""

from collections.abc import Sequence
from datetime import datetime

from core.contradictions import Contradiction, SeenContradiction
from pipelines.stores.session import Session, utc


class ContradictionStore:
    """The contradictions of one tenant (`core.contradictions.ContradictionRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, contradictions: Sequence[Contradiction], at: datetime) -> None:
        """Store contradictions; a newer one about the same field of a metric replaces the older one."""
        # in order, so that two writers lock the rows in the same order
        for one in sorted(contradictions, key=lambda one: (one.metric, one.field)):
            self._session.execute(
                "INSERT INTO contradictions (tenant, metric, field, source, value, other_source, other_value, seen_at)"
                " VALUES (%(tenant)s, %(metric)s, %(field)s, %(source)s, %(value)s, %(other_source)s,"
                " %(other_value)s, %(at)s) ON CONFLICT (tenant, metric, field) DO UPDATE SET"
                " (source, value, other_source, other_value, seen_at) = (excluded.source, excluded.value,"
                " excluded.other_source, excluded.other_value, excluded.seen_at)",
                {
                    "metric": one.metric,
                    "field": one.field,
                    "source": one.source,
                    "value": one.value,
                    "other_source": one.other_source,
                    "other_value": one.other_value,
                    "at": at,
                },
            )

    def list(self, since: datetime) -> list[SeenContradiction]:
        """Those that were seen at or after that time, by metric."""
        rows = self._session.rows(
            "SELECT metric, field, source, value, other_source, other_value, seen_at FROM contradictions"
            " WHERE tenant = %(tenant)s AND seen_at >= %(since)s ORDER BY metric, field",
            {"since": since},
        )
        return [
            SeenContradiction(seen_at=utc(row.pop("seen_at")), contradiction=Contradiction(**row))
            for row in rows
        ]
