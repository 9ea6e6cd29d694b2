"""Numbers about what a store holds, for `forewarn status`, and how far sources have been read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterCount:
    """Rows of one source that were refused for the same reason.

    Attributes:
        reason: the reason; numbers and quoted values in it are replaced, so that similar rows count together.
        example: the reason of the newest row, word for word.
        first_at: when the first of them was refused.
        last_at: when the last of them was refused.
    """

    source: str
    reason: str
    count: int
    example: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorState:
    """How far a source has been read, and when the cursor last moved."""

    source: str
    cursor: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCounts:
    """How many signals lasted at or after a time.

    Attributes:
        passed: those that no filter suppressed.
        newest: when the newest of them started; null: there are none.
    """

    passed: int
    suppressed: int
    newest: datetime | None


class CursorRepository(Protocol):
    def get(self, source: str) -> str | None:
        """How far that source has been read; null: not yet."""
        ...

    def set(self, source: str, cursor: str) -> None:
        """Remember how far a source has been read."""
        ...

    def advance(self, source: str, known: str | None, cursor: str) -> bool:
        """Set the cursor if it still is `known` (null: there is none); false when another process has moved it."""
        ...

    def list(self) -> list[CursorState]:
        """All sources with a cursor, by name."""
        ...
