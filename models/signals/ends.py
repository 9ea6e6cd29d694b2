"""Series that their senders ended: they are not silent, and findings about them are over.

References:
    https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from core.arrays import IntArray
from core.domain import Signal
from models.detect.series_model import COMBINED

_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class SeriesEnds:
    """When senders ended series; a series that has later samples goes on.

    Attributes:
        times_ms: series id -> times in ms, rising.
    """

    times_ms: Mapping[int, IntArray]

    @classmethod
    def of(cls, ends: pl.DataFrame) -> "SeriesEnds":
        """Args:
        ends: `core.frames.TIMES`.
        """
        return cls(
            {
                int(key): mine["ts"].sort().dt.epoch("ms").to_numpy()
                for (key,), mine in ends.group_by("series_id")
            }
        )

    def has_within(self, series_id: int, after_ms: int, until_ms: int) -> bool:
        """Whether the sender ended the series in that time."""
        times = self.times_ms.get(series_id, _NONE)
        return bool(np.any((times > after_ms) & (times <= until_ms)))

    def ended(self, newest: Mapping[int, datetime], at: datetime) -> dict[int, datetime]:
        """Series id -> the time at which it ended, of the series that have no later sample.

        Args:
            newest: series id -> the time of its newest sample; series without one are absent.
            at: the present; later ends do not count.
        """
        found = {}
        for series_id, times in self.times_ms.items():
            past = times[times <= int(at.timestamp() * 1000)]
            sample = newest.get(series_id)
            if len(past) and (sample is None or past[-1] > int(sample.timestamp() * 1000)):
                found[series_id] = datetime.fromtimestamp(int(past[-1]) / 1000, UTC)
        return found


NO_ENDS = SeriesEnds({})


def closed(signals: Sequence[Signal], ended: Mapping[int, datetime]) -> list[Signal]:
    """The open signals about series that ended, closed when the series ended.

    Args:
        ended: series id -> when it ended.
    """
    return [
        replace(one, ended_at=max(ended[one.series_id], one.started_at))
        for one in signals
        if one.ended_at is None and one.series_id is not None and one.series_id in ended
    ]


def no_longer_found(known: Sequence[Signal], found: Sequence[Signal], *, at: datetime) -> list[Signal]:
    """The open anomalies of detectors that are not found any more, closed: a new model expects such values, or the
    series is gone.

    Args:
        at: until when they were found.
    """
    ids = {one.signal_id for one in found}
    return [
        replace(one, ended_at=max(at, one.started_at))
        for one in known
        if one.ended_at is None
        and one.signal_id not in ids
        and any(by.detector == COMBINED for by in one.detectors)
    ]
