"""Simulated time: chunks of two hours, the local calendar, and noise that depends only on the seed and the time."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from core.durations import DAY_S

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Prometheus's smallest block, aligned to the epoch. A text that holds one block is parsed only twice.
CHUNK_S = 7200
#: Knots of the slow noise in one day.
KNOTS = 96
#: The zone of the company before its clock changes: UTC+1.
ZONE_S = 3600
#: Load on a holiday, relative to a working day.
HOLIDAY_LOAD = 0.4


@dataclass(frozen=True, slots=True)
class Calendar:
    """The local calendar; times are seconds since the epoch.

    Attributes:
        change_at: from here on, local time is UTC+2; null where the clock does not change.
        holiday: start of a day with little load; null where there is none.
    """

    change_at: int | None = None
    holiday: int | None = None

    def local(self, times: IntArray) -> IntArray:
        """Local time as seconds; hours and weekdays follow from it."""
        summer = 0 if self.change_at is None else np.where(times >= self.change_at, 3600, 0)
        return times + ZONE_S + summer

    def load(self, times: IntArray, *, peak_hour: float, swing: float, weekend: float) -> FloatArray:
        """Load relative to its mean on a working day, by hour, weekday and holiday; at least 0."""
        local = self.local(times)
        hour = local % DAY_S / 3600
        weekday = (local // DAY_S + 3) % 7  # 1970-01-01 was a Thursday
        load = 1 + swing * np.cos(2 * np.pi * (hour - peak_hour) / 24)
        load = load * np.where(weekday >= 5, weekend, 1.0)
        if self.holiday is not None:
            is_holiday = (local >= self.holiday) & (local < self.holiday + DAY_S)
            load = load * np.where(is_holiday, HOLIDAY_LOAD, 1.0)
        return np.asarray(np.clip(load, 0.0, None))

    def during(
        self, times: IntArray, first_hour: float, last_hour: float, weekday: int | None = None
    ) -> BoolArray:
        """Whether the local hour lies in the range, on one weekday (0 = Monday) or on all."""
        local = self.local(times)
        hour = local % DAY_S / 3600
        inside = (hour >= first_hour) & (hour < last_hour)
        if weekday is not None:
            inside &= (local // DAY_S + 3) % 7 == weekday
        return np.asarray(inside)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The scrapes of two hours.

    Attributes:
        number: hours of the epoch, divided by two.
        times: seconds since the epoch, one for each scrape.
    """

    number: int
    seed: int
    step_s: int
    times: IntArray
    calendar: Calendar

    @classmethod
    def at(cls, number: int, *, seed: int, step_s: int, calendar: Calendar) -> "Chunk":
        """The chunk with this number."""
        times = np.arange(number * CHUNK_S, (number + 1) * CHUNK_S, step_s, dtype=np.int64)
        return cls(number=number, seed=seed, step_s=step_s, times=times, calendar=calendar)

    def rng(self, *names: str) -> np.random.Generator:
        """Random numbers of one thing in this chunk."""
        return np.random.default_rng([self.seed, self.number, *(crc32(name.encode()) for name in names)])

    def slow(self, *names: str) -> FloatArray:
        """Smooth noise with mean 0 and deviation 1, which continues in the next chunk."""
        keys = [crc32(name.encode()) for name in names]
        day = int(self.times[0]) // DAY_S
        today, tomorrow = (
            np.random.default_rng([self.seed, 7, one, *keys]).normal(size=KNOTS) for one in (day, day + 1)
        )
        position = self.times % DAY_S / DAY_S * KNOTS
        return np.asarray(np.interp(position, np.arange(KNOTS + 1), np.append(today, tomorrow[0])))

    def wobble(self, name: str, size: float) -> FloatArray:
        """A factor around 1: slow noise and noise of each scrape."""
        fast = self.rng(name, "wobble").normal(size=len(self.times))
        return np.asarray(np.exp(size * (0.8 * self.slow(name) + 0.6 * fast)))

    def between(self, start: float, end: float) -> BoolArray:
        """Whether a scrape lies in [start, end)."""
        return np.asarray((self.times >= start) & (self.times < end))

    def steps_of(self, moments: list[int]) -> list[int]:
        """The first step at or after each moment that lies in this chunk."""
        first, last = int(self.times[0]) - self.step_s, int(self.times[-1])
        return [int(np.searchsorted(self.times, one)) for one in moments if first < one <= last]


def seeded(seed: int, *names: str) -> np.random.Generator:
    """Random numbers of one thing, for the whole history."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])
