"""The present time, from the clock of the machine or from a clock that stands still."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present time in UTC, with a time zone."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still: for backtests, the demo and tests."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment
