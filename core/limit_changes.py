"""Changes of the limit of a series, such as a disk that was resized: history is judged by the limit of its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from core.domain import Event, Series
from core.resizes import LIMIT, resize_event

#: A limit that goes back and forth, as where two senders disagree, makes so many events of a series within a day.
MOST_A_DAY = 3
WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """A new limit in place of another one.

    Attributes:
        series: with the new limit.
    """

    series: Series
    before: float
    after: float

    def event(self, at: datetime) -> Event:
        """The change as an event of the service, for people and for diagnoses."""
        return resize_event(self.series, LIMIT, self.before, self.after, unit=self.series.unit, at=at)


#: Earlier limits of a series, oldest first, each with the time at which it ended.
PastLimits = Sequence[tuple[datetime, float]]


class LimitChangeRepository(Protocol):
    """Earlier limits of series."""

    def add(self, changes: Sequence[LimitChange], at: datetime) -> list[LimitChange]:
        """Store changes; returns those that were stored: at most `MOST_A_DAY` of a series."""
        ...

    def past_limits(self, series_ids: Sequence[int]) -> Mapping[int, PastLimits]:
        """The earlier limits of these series, of those that have some."""
        ...
