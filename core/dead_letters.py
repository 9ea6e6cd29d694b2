"""Dead letters: rows that were refused, with their source and the reason."""

from dataclasses import dataclass
from datetime import datetime


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
