"""How far each source has been read."""

from core.counts import CursorState
from pipelines.stores.session import Session, utc


class CursorStore:
    """The cursors of one tenant (`core.cursors.CursorRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, source: str) -> str | None:
        """How far that source has been read; null: not yet."""
        rows = self._session.rows(
            "SELECT cursor FROM cursors WHERE tenant = %(tenant)s AND source = %(source)s", {"source": source}
        )
        return str(rows[0]["cursor"]) if rows else None

    def set(self, source: str, cursor: str) -> None:
        """Remember how far that source has been read."""
        self._session.execute(
            "INSERT INTO cursors (tenant, source, cursor) VALUES (%(tenant)s, %(source)s, %(cursor)s)"
            " ON CONFLICT (tenant, source) DO UPDATE SET cursor = excluded.cursor, updated_at = now()",
            {"source": source, "cursor": cursor},
        )

    def advance(self, source: str, known: str | None, cursor: str) -> bool:
        """Set the cursor if it still is `known` (null: there is none); false when another process has moved it.

        The row stays locked until the end of the transaction, so that another process waits and then gets false.
        """
        if known is None:
            statement = (
                "INSERT INTO cursors (tenant, source, cursor) VALUES (%(tenant)s, %(source)s, %(cursor)s)"
                " ON CONFLICT DO NOTHING"
            )
        else:
            statement = (
                "UPDATE cursors SET cursor = %(cursor)s, updated_at = now()"
                " WHERE tenant = %(tenant)s AND source = %(source)s AND cursor = %(known)s"
            )
        return self._session.execute(statement, {"source": source, "known": known, "cursor": cursor}) == 1

    def list(self) -> list[CursorState]:
        """All sources with a cursor, by name."""
        rows = self._session.rows(
            "SELECT source, cursor, updated_at FROM cursors WHERE tenant = %(tenant)s ORDER BY source", {}
        )
        return [CursorState(**{**row, "updated_at": utc(row["updated_at"])}) for row in rows]
