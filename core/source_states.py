"""The health of sources: whether they can be read, since when not, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """The state of one source.

    Attributes:
        failing_since: null: it could be read the last time.
        error: why it could not be read.
        notes: what people must know of the last reading, such as metrics that were left out.
    """

    source: str
    failing_since: datetime | None
    error: str
    notes: tuple[str, ...]


class SourceStateRepository(Protocol):
    def failed(self, source: str, at: datetime, error: str) -> None:
        """The source could not be read. It fails since the first failure after its last success."""
        ...

    def worked(self, source: str, notes: Sequence[str] | None) -> None:
        """The source was read.

        Args:
            notes: null: there was nothing new, so the notes of the reading before hold.
        """
        ...

    def list(self) -> list[SourceState]:
        """All sources that were read or failed, by name."""
        ...
