"""The ports of what is stored of logs, until their steps are complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogCount:
    """How many lines of a level and a template a service logged in a step; `at` is the start of the step."""

    at: datetime
    service: str
    level: str
    template: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTemplate:
    """A kind of log lines of a service.

    Attributes:
        name: the form of its first line, see `models.metrics.log_templates`.
        pattern: what all of its lines have in common.
        level: of its first line; `example` is that line without secrets.
    """

    tenant: str
    service: str
    name: str
    pattern: str
    level: str
    example: str
    first_seen: datetime
    seen_at: datetime


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

    def hold_templates(self) -> None:
        """Let no other transaction change the templates until the end of this one."""
        ...

    def templates(self, services: Sequence[str] | None = None) -> list[LogTemplate]:
        """The templates of these services; null: of all."""
        ...

    def save_templates(self, templates: Sequence[LogTemplate]) -> None:
        """Store templates; of a known one, the pattern changes."""
        ...

    def see_templates(self, templates: Sequence[tuple[str, str]], now: datetime) -> None:
        """Services and names of templates of which lines came now."""
        ...

    def forget(self, before: datetime, levels_before: datetime, templates_before: datetime) -> None:
        """Forget requests that were seen before a time, and levels and templates that were not seen since others."""
        ...
