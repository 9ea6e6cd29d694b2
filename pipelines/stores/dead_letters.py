"""Dead letters: the rows that were rejected, each with its reason."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.counts import DeadLetterCount
from core.domain import stable_id
from core.frames import require_frame
from pipelines.stores.session import Session, utc

#: Numbers, times and quoted values: they differ between rows that were refused for the same reason.
_VALUES = r"""'[^']*'|"[^"]*"|[-+]?[0-9][0-9.:eE+-]*"""
REJECTED = {"row": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One rejected row: the row as it came, and the reason."""

    source: str
    row: str
    reason: str
    seen_at: datetime


class DeadLetterStore:
    """The dead letters of one tenant (`core.ports.DeadLetterRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, source: str, rejected: pl.DataFrame) -> int:
        """Store rejected rows (columns `row`, `reason`), each once; returns how many are new.

        Raises:
            InvalidFrameError: a column is missing.
        """
        frame = require_frame(rejected, REJECTED, "rejected")
        if frame.is_empty():
            return 0
        # PostgreSQL's text cannot hold the character NUL, and garbage often does: it is written as an escape.
        rows = [(row or "").replace("\0", "\\u0000") for row in frame["row"]]
        reasons = [(reason or "").replace("\0", "\\u0000") for reason in frame["reason"]]
        digests = [stable_id(source, row, reason) for row, reason in zip(rows, reasons, strict=True)]
        return self._session.execute(
            "INSERT INTO dead_letters (tenant, source, row, reason, digest)"
            " SELECT DISTINCT ON (digest) %(tenant)s, %(source)s, r.row, r.reason, r.digest"
            " FROM unnest(%(rows)s::text[], %(reasons)s::text[], %(digests)s::text[])"
            " AS r (row, reason, digest) ORDER BY digest ON CONFLICT DO NOTHING",
            {"source": source, "rows": rows, "reasons": reasons, "digests": digests},
        )

    def count(self) -> int:
        """How many dead letters are stored."""
        rows = self._session.rows("SELECT count(*) AS n FROM dead_letters WHERE tenant = %(tenant)s", {})
        return int(rows[0]["n"])

    def by_reason(self) -> list[DeadLetterCount]:
        """How many dead letters are stored for each source and reason, the most frequent first."""
        rows = self._session.rows(
            "SELECT source, regexp_replace(reason, %(values)s, '…', 'g') AS reason, count(*) AS count,"
            " (array_agg(reason ORDER BY id DESC))[1] AS example, min(seen_at) AS first_at, max(seen_at) AS last_at"
            " FROM dead_letters WHERE tenant = %(tenant)s GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
            {"values": _VALUES},
        )
        return [
            DeadLetterCount(**{**row, "first_at": utc(row["first_at"]), "last_at": utc(row["last_at"])})
            for row in rows
        ]

    def list(self, limit: int = 100) -> list[DeadLetter]:
        """Dead letters, newest first."""
        rows = self._session.rows(
            "SELECT source, row, reason, seen_at FROM dead_letters WHERE tenant = %(tenant)s"
            " ORDER BY id DESC LIMIT %(limit)s",
            {"limit": limit},
        )
        return [DeadLetter(**{**row, "seen_at": utc(row["seen_at"])}) for row in rows]
