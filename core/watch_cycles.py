"""How long watch cycles took."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

#: A watch cycle begins every so many seconds.
WATCH_EVERY_S = 300
#: The newest scrapes are pulled half a minute after their time, so a cycle starts a little later.
AFTER = timedelta(seconds=35)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCycle:
    """One watch cycle.

    Attributes:
        at: when it began.
        step_seconds: step -> how long it took, in the order of the steps.
    """

    at: datetime
    step_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.step_seconds.values())

    @property
    def is_late(self) -> bool:
        """Whether it ended after the next one was due, which was skipped therefore."""
        return self.seconds > WATCH_EVERY_S

    @property
    def slowest_step(self) -> str:
        return max(self.step_seconds, key=lambda step: self.step_seconds[step])


class WatchCycleRepository(Protocol):
    def add(self, cycle: WatchCycle) -> None:
        """Store a cycle; one that began at the same time is replaced."""
        ...

    def since(self, at: datetime) -> list[WatchCycle]:
        """The cycles that began at or after `at`, the oldest first."""
        ...
