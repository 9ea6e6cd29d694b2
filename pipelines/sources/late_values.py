"""The cursor of sources whose values come late, in periods of a fixed length.

Each pull asks for the last hour again and takes what is new: the cursor holds, for each series, which periods of that
hour have been read. A value that the sender changes afterwards stays as it was first read.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import BoolArray
from core.durations import HOUR_S
from pipelines.sources.prometheus_values import Floats, Ints

#: A pull asks for this time again.
LATENESS_S = HOUR_S


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """What was read of one series.

    Attributes:
        unit: as the sender writes it.
        periods: a bit for each of the last periods, the newest is the lowest one: whether its value was read.
    """

    unit: str
    periods: int


@dataclass(frozen=True, slots=True)
class LateCursor:
    """Everything up to `until` (seconds since 1970) was asked for."""

    until: int
    read: Mapping[int, SeriesRead] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "LateCursor":
        held = json.loads(text)
        return cls(held["until"], {int(key): SeriesRead(*value) for key, value in held["read"].items()})

    def text(self) -> str:
        held = {str(key): [one.unit, one.periods] for key, one in self.read.items()}
        return json.dumps({"until": self.until, "read": held}, separators=(",", ":"))

    def moved_to(self, until: int, step_s: int) -> "LateCursor":
        """The same at a later time; periods that are too old for another read are forgotten."""
        shift = (until - self.until) // step_s
        kept = (1 << LATENESS_S // step_s) - 1
        return LateCursor(
            until, {key: SeriesRead(one.unit, one.periods << shift & kept) for key, one in self.read.items()}
        )

    def asks_again_from(self, until: int, step_s: int) -> int:
        """From when on a pull up to `until` asks for series that were read before."""
        return min(self.until, until - LATENESS_S // step_s * step_s)


class LateReads:
    """Which periods one pull reads, besides those of the pulls before it.

    Args:
        before: the cursor of the pull before.
        until: end of the last period, in seconds since 1970.
    """

    def __init__(self, before: LateCursor, until: int, step_s: int) -> None:
        self._before = before
        self._until = until
        self._step_s = step_s
        self._read = dict(before.moved_to(until, step_s).read)

    def unit(self, series_id: int) -> str | None:
        """The unit of a series, as the sender writes it; null: it was never read."""
        known = self._read.get(series_id)
        return None if known is None else known.unit

    def take(self, series_id: int, unit: str, ends: Ints, values: Floats) -> BoolArray:
        """Which values are new; they count as read from now on.

        Args:
            ends: of the periods, in seconds since 1970.
        """
        periods = self._read[series_id].periods if series_id in self._read else 0
        window = LATENESS_S // self._step_s
        ages = (self._until - ends) // self._step_s
        # Values of a series that was read before are known, but for late ones in the window.
        repeats = (ages >= window) & (ends <= self._before.until)
        seen = repeats if series_id in self._before.read else np.zeros(len(ends), dtype=bool)
        seen |= np.array([periods >> int(age) & 1 for age in np.maximum(ages, 0)], dtype=bool)
        new = np.isfinite(values) & ~seen & (ages >= 0)
        for age in ages[new & (ages < window)]:
            periods |= 1 << int(age)
        self._read[series_id] = SeriesRead(unit, periods)
        return np.asarray(new)

    def cursor(self, asked: Collection[int]) -> str:
        """The cursor after this pull. It forgets series that have gone: hosts and functions come and go.

        Args:
            asked: series that exist.
        """
        kept = {key: one for key, one in self._read.items() if one.periods or key in asked}
        return LateCursor(self._until, kept).text()
