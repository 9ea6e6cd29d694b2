"""The ports of what is stored of logs, until their steps are complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogCount:
    """How many lines of a level a service logged in a step; `at` is the start of the step."""

    at: datetime
    service: str
    level: str
    lines: int


class LogRepository(Protocol):
    """Counts of log lines whose step is not complete yet, and the requests of the last minutes."""

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        ...

    def is_repeated(self, digest: int, now: datetime) -> bool:
        """Whether a request with this digest has come before; it is remembered."""
        ...

    def add(self, counts: Sequence[LogCount], now: datetime) -> None:
        """Add to the stored counts."""
        ...

    def oldest(self) -> datetime | None:
        """The first step that has counts; null when there are none."""
        ...

    def take(self, before: datetime) -> list[LogCount]:
        """Remove and return the counts of the steps before that time."""
        ...

    def levels(self, since: datetime) -> list[tuple[str, str]]:
        """Services and levels of which lines came at or after that time."""
        ...

    def forget(self, before: datetime, levels_before: datetime) -> None:
        """Forget requests that were seen before a time, and levels that were not seen since another."""
        ...
