"""Samples that a process keeps in memory, so that a watch cycle reads what is new and not the days before again."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from core.durations import HOUR
from core.ports import SampleRepository
from pipelines.stores.forwarded_samples import ForwardedSamples
from pipelines.stores.sample_memory import MemoryBudget, SampleMemory
from pipelines.stores.sample_writes import Seen, look
from pipelines.stores.session import Session

#: A longer span is read from the database: it is for learning, which needs it once.
LONGEST = timedelta(days=11)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecentSamples:
    """The samples of one tenant that this process has read lately. Thread-safe."""

    def __init__(self, budget: MemoryBudget, raw_days: int) -> None:
        """Args:
        raw_days: how long the database keeps samples.
        """
        # What the database deletes is older than anything in memory.
        self.longest = min(LONGEST, timedelta(days=raw_days) - HOUR)
        self._memory = SampleMemory(budget)
        self._lock = threading.Lock()
        self._seen: Seen | None = None

    def read(
        self,
        session: Session,
        stored: Callable[[datetime, datetime, Sequence[int]], pl.DataFrame],
        start: datetime,
        end: datetime,
        series_ids: Sequence[int],
    ) -> pl.DataFrame:
        """What `stored` gives for these arguments; only what is not in memory is read."""
        ids = sorted({int(one) for one in series_ids})
        begin, until = _microseconds(start), _microseconds(end)
        with self._lock:
            found = look(session, self._seen)
            if found.oldest is not None:
                self._memory.forget_from(_microseconds(found.oldest))
            self._seen = found.seen
            known = {one: self._memory.known_until(one, begin) for one in ids}
            unknown = [one for one, last in known.items() if last is None]
            old = {one: last for one, last in known.items() if last is not None and last < until}
            if unknown:
                self._memory.keep(stored(start, end, unknown), unknown, begin, until)
            if old:
                first = min(old.values())
                fresh = stored(_EPOCH + timedelta(microseconds=first), end, list(old))
                self._memory.extend(fresh, old, first, until)
            samples = self._memory.read(ids, begin, until)
            self._memory.shrink(until)
        return samples


class KeptSamples(ForwardedSamples):
    """The samples of one tenant, recent ones from memory (`core.ports.SampleRepository`)."""

    def __init__(self, session: Session, behind: SampleRepository, recent: RecentSamples) -> None:
        super().__init__(behind)
        self._session = session
        self._recent = recent

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        """As `SampleRepository.read`."""
        # What a transaction has written itself may be rolled back, and must not be kept.
        if (
            series_ids is None
            or not HOUR <= end - start <= self._recent.longest
            or self._session.in_transaction
        ):
            return self._behind.read(start, end, series_ids)
        return self._recent.read(self._session, self._behind.read, start, end, series_ids)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
