"""Dead letters: the rows that were rejected, each with its reason."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from psycopg.rows import DictRow

from core.counts import DeadLetterCount
from core.dead_letters import EVERY_DEAD_LETTER, DeadLetter, DeadLetterFilter
from core.domain import stable_id
from core.frames import require_frame
from pipelines.stores.session import Session, utc

#: Numbers, times and quoted values: they differ between rows that were refused for the same reason.
_VALUES = r"""'[^']*'|"[^"]*"|[-+]?[0-9][0-9.:eE+-]*"""
REJECTED = {"row": pl.String, "reason": pl.String}

_MATCHES = (
    "tenant = %(tenant)s AND (%(from_source)s::text IS NULL OR source = %(from_source)s)"
    " AND (%(because)s::text IS NULL OR strpos(lower(reason), lower(%(because)s)) > 0)"
    " AND (%(since)s::timestamptz IS NULL OR seen_at >= %(since)s)"
)


class DeadLetterStore:
    """The dead letters of one tenant (`core.dead_letters.DeadLetterRepository`)."""

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
        rows = [_without_nul(row or "") for row in frame["row"]]
        reasons = [_without_nul(reason or "") for reason in frame["reason"]]
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

    def by_reason(
        self, which: DeadLetterFilter = EVERY_DEAD_LETTER, limit: int | None = None
    ) -> list[DeadLetterCount]:
        """How many dead letters are stored for each source and reason, the most frequent first.

        Args:
            limit: at most so many groups; null: all.
        """
        rows = self._session.rows(
            "SELECT source, regexp_replace(reason, %(values)s, '…', 'g') AS reason, count(*) AS count,"
            " (array_agg(reason ORDER BY id DESC))[1] AS example, min(seen_at) AS first_at, max(seen_at) AS last_at"
            f" FROM dead_letters WHERE {_MATCHES} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s",
            {"values": _VALUES, "limit": limit, **_parameters(which)},
        )
        return [
            DeadLetterCount(**{**row, "first_at": utc(row["first_at"]), "last_at": utc(row["last_at"])})
            for row in rows
        ]

    def lock_next(self, which: DeadLetterFilter, after: int, limit: int, max_chars: int) -> list[DeadLetter]:
        """Dead letters with an id above `after`, oldest first; locked until the end of the transaction.

        Args:
            max_chars: longer rows are cut.
        """
        rows = self._session.rows(
            "SELECT id, source, left(row, %(max_chars)s) AS row, reason, seen_at"
            f" FROM dead_letters WHERE {_MATCHES} AND id > %(after)s ORDER BY id LIMIT %(limit)s FOR UPDATE",
            {"limit": limit, "after": after, "max_chars": max_chars, **_parameters(which)},
        )
        return _letters(rows)

    def remove(self, letter_ids: Sequence[int]) -> int:
        """Remove dead letters; returns how many were there."""
        return self._session.execute(
            "DELETE FROM dead_letters WHERE tenant = %(tenant)s AND id = ANY(%(ids)s::bigint[])",
            {"ids": list(letter_ids)},
        )

    def put_back(self, letters: Sequence[DeadLetter]) -> int:
        """Store dead letters that were removed, with their ids and times; returns how many.

        Of letters that have become equal (source, row and reason) the oldest is stored.
        """
        if not letters:
            return 0
        rows = [_without_nul(one.row) for one in letters]
        reasons = [_without_nul(one.reason) for one in letters]
        sources = [one.source for one in letters]
        return self._session.execute(
            "INSERT INTO dead_letters (id, tenant, source, row, reason, digest, seen_at) OVERRIDING SYSTEM VALUE"
            " SELECT DISTINCT ON (r.digest) r.id, %(tenant)s, r.source, r.row, r.reason, r.digest, r.seen_at"
            " FROM unnest(%(ids)s::bigint[], %(sources)s::text[], %(rows)s::text[], %(reasons)s::text[],"
            " %(digests)s::text[], %(times)s::timestamptz[]) AS r (id, source, row, reason, digest, seen_at)"
            " ORDER BY r.digest, r.id ON CONFLICT DO NOTHING",
            {
                "ids": [one.letter_id for one in letters],
                "sources": sources,
                "rows": rows,
                "reasons": reasons,
                "digests": [stable_id(*parts) for parts in zip(sources, rows, reasons, strict=True)],
                "times": [one.seen_at for one in letters],
            },
        )

    def list(
        self,
        limit: int = 100,
        which: DeadLetterFilter = EVERY_DEAD_LETTER,
        max_chars: int | None = None,
    ) -> list[DeadLetter]:
        """Dead letters, newest first.

        Args:
            max_chars: longer rows are cut; null: rows are whole.
        """
        rows = self._session.rows(
            "SELECT id, source, left(row, %(max_chars)s) AS row, reason, seen_at"
            f" FROM dead_letters WHERE {_MATCHES} ORDER BY id DESC LIMIT %(limit)s",
            {"limit": limit, "max_chars": max_chars or _ALL_CHARS, **_parameters(which)},
        )
        return _letters(rows)


#: More characters than a text of PostgreSQL can have.
_ALL_CHARS = 2**31 - 1


def _without_nul(text: str) -> str:
    """PostgreSQL's text cannot hold the character NUL, and garbage often does: it is written as an escape."""
    return text.replace("\0", "\\u0000")


def _parameters(which: DeadLetterFilter) -> Mapping[str, Any]:
    return {"from_source": which.source, "because": which.reason, "since": which.since}


def _letters(rows: Sequence[DictRow]) -> list[DeadLetter]:
    return [
        DeadLetter(
            letter_id=row["id"],
            source=row["source"],
            row=row["row"],
            reason=row["reason"],
            seen_at=utc(row["seen_at"]),
        )
        for row in rows
    ]
