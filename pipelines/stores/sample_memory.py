"""Samples of the last days in memory, a bounded number of them."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.durations import HOUR_S
from core.frames import SAMPLES, frame_of, sample_arrays

_BYTES = 16
_HOUR_US = HOUR_S * 1_000_000


class MemoryBudget:
    """So many bytes for the samples of all tenants of a process. Thread-safe.

    Attributes:
        used: how many samples are kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self.used = 0
        self._most = most_bytes // _BYTES
        self._lock = threading.Lock()

    def take(self, samples: int) -> None:
        """Account for samples that are kept; < 0: for samples that are not kept any more."""
        with self._lock:
            self.used += samples

    @property
    def exceeded(self) -> bool:
        """Whether more is kept than there is memory for."""
        return self.used > self._most


@dataclass(slots=True)
class _Kept:
    """All samples of a series in [since, until), in microseconds since 1970; reads ask for the last `span` of them."""

    since: int
    until: int
    span: int
    times: IntArray
    values: FloatArray


class SampleMemory:
    """For each series all its samples of one span of time. Times are microseconds since 1970."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._kept: dict[int, _Kept] = {}

    def forget_from(self, time: int) -> None:
        """Samples from this time on are not known any more."""
        for series_id, kept in list(self._kept.items()):
            kept.until = min(kept.until, time)
            if kept.until <= kept.since:
                self._drop(series_id)

    def known_until(self, series_id: int, start: int) -> int | None:
        """Until when the samples from `start` on are known; null: they are not."""
        kept = self._kept.get(series_id)
        return None if kept is None or kept.since > start else kept.until

    def keep(self, samples: pl.DataFrame, series_ids: Iterable[int], start: int, end: int) -> None:
        """Keep all samples of [start, end) of series that are not known before `start`.

        Args:
            samples: `SAMPLES` of these series and times, by series_id, ts.
        """
        parts = _by_series(samples)
        for series_id in series_ids:
            self._drop(series_id)
            times, values = parts.get(series_id, _NOTHING)
            # A view would keep the samples of all series in memory.
            self._kept[series_id] = _Kept(start, end, end - start, times.copy(), values.copy())
            self._budget.take(len(times))

    def extend(self, samples: pl.DataFrame, series_ids: Iterable[int], start: int, end: int) -> None:
        """Replace what is known from `start` on by all samples of [start, end).

        Args:
            samples: as for `keep`.
            series_ids: series that are known until `start` at least.
        """
        parts = _by_series(samples)
        for series_id in series_ids:
            kept = self._kept[series_id]
            if kept.until >= end:
                continue
            # Samples that no read asks for any more go once an hour.
            if end - kept.since > kept.span + _HOUR_US:
                kept.since = end - kept.span
            before = slice(*np.searchsorted(kept.times, (kept.since, start)))
            times, values = parts.get(series_id, _NOTHING)
            self._budget.take(-len(kept.times))
            kept.times = np.concatenate([kept.times[before], times])
            kept.values = np.concatenate([kept.values[before], values])
            kept.until = end
            self._budget.take(len(kept.times))

    def read(self, series_ids: Sequence[int], start: int, end: int) -> pl.DataFrame:
        """The samples of [start, end) of known series: `SAMPLES`.

        Args:
            series_ids: ascending.
        """
        found = []
        for series_id in series_ids:
            kept = self._kept[series_id]
            kept.span = max(kept.span, end - start)
            inside = slice(*np.searchsorted(kept.times, (start, end)))
            found.append((kept.times[inside], kept.values[inside]))
        if not found:
            return pl.DataFrame(schema=SAMPLES)
        ids = np.repeat(np.array(series_ids, dtype=np.int64), [len(times) for times, _ in found])
        return frame_of(SAMPLES, ids, *map(np.concatenate, zip(*found, strict=True)))

    def shrink(self, end: int) -> None:
        """Forget series until the others fit: first those that nobody has read up to an hour before `end`.

        Of the others, those that came first stay: a cycle reads the same series in the same order as the one before.
        """
        if self._budget.exceeded:
            for series_id in [key for key, kept in self._kept.items() if kept.until < end - _HOUR_US]:
                self._drop(series_id)
        while self._kept and self._budget.exceeded:
            self._drop(next(reversed(self._kept)))

    def _drop(self, series_id: int) -> None:
        kept = self._kept.pop(series_id, None)
        self._budget.take(0 if kept is None else -len(kept.times))


_NOTHING = (np.empty(0, dtype=np.int64), np.empty(0))


def _by_series(samples: pl.DataFrame) -> Mapping[int, tuple[IntArray, FloatArray]]:
    ids, times, values = sample_arrays(samples)
    if not len(ids):
        return {}
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    ends = np.append(first[1:], len(ids))
    return {
        int(ids[begin]): (times[begin:end], values[begin:end]) for begin, end in zip(first, ends, strict=True)
    }
