"""Dead letters: rows that were refused, with their source and the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from core.counts import DeadLetterCount


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One rejected row: the row as it came, and the reason.

    Attributes:
        letter_id: rises with the time at which rows were refused.
        seen_at: when the row was refused first.
    """

    letter_id: int
    source: str
    row: str
    reason: str
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant.

    Attributes:
        source: its name, such as `remote_write`; null: every source.
        reason: a part of the reason, in upper or lower case; null: every reason.
        since: only rows that were refused at or after this time; null: at any time.
    """

    source: str | None = None
    reason: str | None = None
    since: datetime | None = None


EVERY_DEAD_LETTER = DeadLetterFilter()


class DeadLetterRepository(Protocol):
    def add(self, source: str, rejected: pl.DataFrame) -> int:
        """Keep refused rows (columns `row`, `reason`), each once; returns how many are new."""
        ...

    def count(self) -> int:
        """How many rows are kept."""
        ...

    def by_reason(
        self, which: DeadLetterFilter = EVERY_DEAD_LETTER, limit: int | None = None
    ) -> list[DeadLetterCount]:
        """How many rows are kept for each source and reason, the most frequent first."""
        ...

    def lock_next(self, which: DeadLetterFilter, after: int, limit: int, max_chars: int) -> list[DeadLetter]:
        """Rows with an id above `after`, oldest first; locked until the end of the transaction."""
        ...

    def remove(self, letter_ids: Sequence[int]) -> int:
        """Remove rows; returns how many were there."""
        ...

    def put_back(self, letters: Sequence[DeadLetter]) -> int:
        """Keep rows that were removed, with their ids and times; returns how many."""
        ...

    def list(
        self,
        limit: int = 100,
        which: DeadLetterFilter = EVERY_DEAD_LETTER,
        max_chars: int | None = None,
    ) -> list[DeadLetter]:
        """Rows that are kept, newest first; those longer than `max_chars` are cut."""
        ...
