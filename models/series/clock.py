"""Local time and holidays, which daily and weekly patterns follow.

Patterns are learned and applied in local time. On a day when clocks change, one hour is missing (spring) or comes twice
(autumn); the other hours keep their place. A holiday is an event with its dates. It is expected to look like a Sunday,
and the model does not learn from it as a weekday.
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
#: The label of a series with the time zone of its users, as an IANA name.
ZONE_LABEL = "time_zone"
#: Weekdays counted from Monday = 0. 1970-01-01 was a Thursday.
_FIRST_WEEKDAY, _SUNDAY = 3, 6


@dataclass(frozen=True, slots=True)
class LocalClock:
    """A time zone with its holidays.

    Attributes:
        time_zone: IANA name.
        holidays: local days since 1970-01-01, ascending.
    """

    time_zone: str = UTC_ZONE
    holidays: tuple[int, ...] = ()

    def local_s(self, times_s: IntArray) -> IntArray:
        """Local time of epoch seconds, as seconds since 1970-01-01 00:00 local time; int64."""
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
        """The inverse of `local_s`: one of both moments for a time that comes twice, an hour off for a missing time."""
        guess = local_s
        for _ in range(2):
            guess += local_s - int(self.local_s(np.array([guess], dtype=np.int64))[0])
        return guess

    def on_holiday(self, local_s: IntArray) -> BoolArray:
        """Whether local seconds lie on a holiday."""
        return np.isin(local_s // DAY_S, np.array(self.holidays, dtype=np.int64))

    def like_sunday(self, local_s: IntArray) -> IntArray:
        """Local seconds; those of holidays are moved to a Sunday at the same time of day."""
        if not self.holidays:
            return local_s
        weekday = (local_s // DAY_S + _FIRST_WEEKDAY) % 7
        return np.where(self.on_holiday(local_s), local_s + (_SUNDAY - weekday) * DAY_S, local_s)


def is_time_zone(name: str) -> bool:
    """Whether a time zone with this IANA name exists."""
    try:
        pl.Series([0]).cast(pl.Datetime("us", UTC_ZONE)).dt.convert_time_zone(name)
    except pl.exceptions.ComputeError:
        return False
    return bool(name)


def holidays(events: Sequence[Event]) -> dict[str, set[int]]:
    """Days since 1970-01-01 that are holidays, by service ("*" means all).

    A holiday covers the dates of [at, until), or the date of `at`, in UTC. These dates hold in every time zone.
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
    """Group series by time zone and holidays.

    Args:
        events: the holidays among them hold for their service, or for all services if it is "*".
        time_zone: for series without the label `time_zone`, or with an unknown one.
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
    """The grid in local time: NaN in a missing hour, the mean of both values in an hour that comes twice."""
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
