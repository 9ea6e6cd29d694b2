"""The clock and the calendar that people live by, whose rhythm a season follows: time zone and holidays.

A season is learned and looked up in local time, so that the day on which clocks change is a day like any other: in
spring an hour of it lacks, in autumn one comes twice. A holiday is data, an event with its dates; it is expected to
go like a Sunday, and is never learned from as the weekday it fell on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.arrays import BoolArray, IntArray
from core.domain import Event, EventKind, Series
from core.durations import DAY_S
from models.series.grid import Grid

UTC_ZONE = "UTC"
#: The label by which a series says what its people's time zone is, as an IANA name.
ZONE_LABEL = "time_zone"
#: 1970-01-01 was a Thursday; counted from Monday, as 0.
_FIRST_WEEKDAY, _SUNDAY = 3, 6


@dataclass(frozen=True, slots=True)
class LocalClock:
    """Attributes:
    time_zone: IANA name; holidays: local days since 1970-01-01, ascending.
    """

    time_zone: str = UTC_ZONE
    holidays: tuple[int, ...] = ()

    def local_s(self, times_s: IntArray) -> IntArray:
        """What the clock on the wall shows at epoch seconds, as if it were UTC; int64."""
        if self.time_zone == UTC_ZONE or times_s.size == 0:
            return times_s
        wall = (
            pl.Series(times_s * 1_000_000)
            .cast(pl.Datetime("us", UTC_ZONE))
            .dt.convert_time_zone(self.time_zone)
            .dt.replace_time_zone(None)
        )
        return np.asarray(wall.dt.epoch("s").to_numpy(), dtype=np.int64)

    def utc_s(self, local_s: int) -> int:
        """The inverse; of a moment that comes twice either, of one that lacks an hour beside it."""
        guess = local_s
        for _ in range(2):
            guess += local_s - int(self.local_s(np.array([guess], dtype=np.int64))[0])
        return guess

    def on_holiday(self, local_s: IntArray) -> BoolArray:
        """Whether local seconds lie on a holiday."""
        return np.isin(local_s // DAY_S, np.array(self.holidays, dtype=np.int64))

    def like_sunday(self, local_s: IntArray) -> IntArray:
        """Local seconds, those of holidays moved to a Sunday at the same time of day."""
        if not self.holidays:
            return local_s
        weekday = (local_s // DAY_S + _FIRST_WEEKDAY) % 7
        return np.where(self.on_holiday(local_s), local_s + (_SUNDAY - weekday) * DAY_S, local_s)


def is_time_zone(name: str) -> bool:
    """Whether there is a time zone of that IANA name."""
    try:
        pl.Series([0]).cast(pl.Datetime("us", UTC_ZONE)).dt.convert_time_zone(name)
    except pl.exceptions.ComputeError:
        return False
    return bool(name)


def holidays(events: Sequence[Event]) -> dict[str, set[int]]:
    """Days since 1970-01-01 that are holidays, by service ("*" means all).

    The dates of [at, until), or of `at` alone, are taken as they are written in UTC; they hold in any time zone.
    """
    days_of: dict[str, set[int]] = {}
    for event in events:
        if event.kind is EventKind.HOLIDAY:
            first = int(event.at.timestamp()) // DAY_S
            last = first if event.until is None else (int(event.until.timestamp()) - 1) // DAY_S
            days_of.setdefault(event.service, set()).update(range(first, max(last, first) + 1))
    return days_of


def clocks(
    series: Sequence[Series], events: Sequence[Event], time_zone: str = UTC_ZONE
) -> Mapping[LocalClock, list[Series]]:
    """Which series live by which clock.

    Args:
        events: holidays among them say which dates; their service, or "*", whose.
        time_zone: of series without the label `time_zone`, or with one that does not exist.
    """
    days_of = holidays(events)
    known: dict[str, bool] = {}
    found: dict[LocalClock, list[Series]] = {}
    for one in series:
        zone = one.labels.get(ZONE_LABEL, time_zone)
        if zone not in known:
            known[zone] = is_time_zone(zone)
        days = days_of.get("*", set()) | days_of.get(one.service, set())
        clock = LocalClock(zone if known[zone] else time_zone, tuple(sorted(days)))
        found.setdefault(clock, []).append(one)
    return found


def to_local(grid: Grid, clock: LocalClock) -> Grid:
    """The grid by the clock on the wall: NaN in the hour that lacks, the mean of the hour that comes twice."""
    local = clock.local_s(grid.times_s) // grid.step_s
    if np.all(np.diff(local) == 1):
        return Grid(grid.series_ids, int(local[0]) * grid.step_s, grid.step_s, grid.values)
    columns = local - local.min()
    values = np.full((grid.values.shape[0], int(columns.max()) + 1), np.nan)
    once, first = np.unique(columns, return_index=True)
    values[:, once] = grid.values[:, first]
    again = np.setdiff1d(np.arange(columns.size), first)
    one, other = values[:, columns[again]], grid.values[:, again]
    both = np.where(np.isnan(one), other, np.where(np.isnan(other), one, (one + other) / 2))
    values[:, columns[again]] = both
    return Grid(grid.series_ids, int(local.min()) * grid.step_s, grid.step_s, values)
