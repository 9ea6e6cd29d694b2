"""The health of sources."""

from collections.abc import Sequence
from datetime import datetime

from core.source_states import SourceState
from pipelines.stores.session import Session, utc


class SourceStateStore:
    """The health of the sources of one tenant (`core.source_states.SourceStateRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def failed(self, source: str, at: datetime, error: str) -> None:
        """The source could not be read."""
        self._session.execute(
            "INSERT INTO source_states AS s (tenant, source, failing_since, error)"
            " VALUES (%(tenant)s, %(source)s, %(at)s, %(error)s) ON CONFLICT (tenant, source) DO UPDATE"
            " SET failing_since = coalesce(s.failing_since, excluded.failing_since), error = excluded.error",
            {"source": source, "at": at, "error": error},
        )

    def worked(self, source: str, notes: Sequence[str] | None) -> None:
        """The source was read."""
        self._session.execute(
            "INSERT INTO source_states AS s (tenant, source, notes)"
            " VALUES (%(tenant)s, %(source)s, coalesce(%(notes)s::text[], '{}')) ON CONFLICT (tenant, source) DO UPDATE"
            " SET failing_since = NULL, error = '', notes = coalesce(%(notes)s::text[], s.notes)",
            {"source": source, "notes": None if notes is None else list(notes)},
        )

    def list(self) -> list[SourceState]:
        """All sources that were read or failed, by name."""
        rows = self._session.rows(
            "SELECT source, failing_since, error, notes FROM source_states WHERE tenant = %(tenant)s ORDER BY source",
            {},
        )
        return [
            SourceState(
                source=row["source"],
                failing_since=None if row["failing_since"] is None else utc(row["failing_since"]),
                error=row["error"],
                notes=tuple(row["notes"]),
            )
            for row in rows
        ]
