"""Cursors: how far each source has been read."""

from typing import Protocol

from core.counts import CursorState


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
