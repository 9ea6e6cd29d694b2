"""The recorded past of a tenant as a source: it has what was known at a moment, and nothing later."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from core.batch import Batch
from core.domain import Event, Incident, Series
from core.frames import SAMPLES
from core.ports import Store
from core.resizes import is_limit_change
from models.series.thresholds import with_limit_of

#: So much is handed over at once.
_BATCH = timedelta(days=1)
#: So much is read ahead, because cycles are short.
_AHEAD = timedelta(hours=1)
#: Service edges are read again after so long.
_EDGES_EVERY = timedelta(days=1)


class RecordedPast:
    """What a store has of the time from `since` on (`core.ports.MetricSource`), up to a moment that moves on.

    A value, an event and the start of an incident are known at their time, the end of an incident when it ends. A
    series has the limit of that moment; other facts that people declared are those of today.
    """

    name = "recorded past"

    def __init__(self, store: Store, since: datetime) -> None:
        self._store = store
        self._since = since
        self._until = since
        self._ahead = pl.DataFrame(schema=SAMPLES)
        self._ahead_of = (since, since)
        self._edges_at: datetime | None = None

    def up_to(self, moment: datetime) -> "RecordedPast":
        """Move on: everything before the moment is known from now on."""
        self._until = moment
        return self

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        begin = self._since if cursor is None else datetime.fromisoformat(cursor)
        while begin < self._until:
            end = min(begin + _BATCH, self._until)
            yield self._batch(begin, end)
            begin = end

    def _batch(self, begin: datetime, end: datetime) -> Batch:
        samples = self._samples(begin, end)
        ends = self._store.series_ends.since(begin).filter(pl.col("ts") >= begin, pl.col("ts") < end)
        return Batch(
            series=self._series(samples.get_column("series_id").unique().to_list(), end),
            samples=samples,
            ends=ends,
            events=self._events(begin, end),
            incidents=self._incidents(begin, end),
            calls=self._edges(begin),
            cursor=end.isoformat(),
        )

    def _samples(self, begin: datetime, end: datetime) -> pl.DataFrame:
        first, last = self._ahead_of
        if not (first <= begin and end <= last):
            last = max(end, begin + _AHEAD)
            self._ahead, self._ahead_of = self._store.samples.read(begin, last), (begin, last)
        return self._ahead.filter(pl.col("ts") >= begin, pl.col("ts") < end)

    def _series(self, ids: Sequence[int], at: datetime) -> list[Series]:
        """The series as they were known at a moment."""
        if not ids:
            return []
        limits, wanted = self._store.limit_changes.past_limits(ids), set(ids)
        return [
            # The thresholds that a replay proposes come from what it has learned.
            replace(
                with_limit_of(one, limits.get(one.series_id, ()), at.timestamp()), proposed_threshold=None
            )
            for one in self._store.series.find()
            if one.series_id in wanted
        ]

    def _events(self, begin: datetime, end: datetime) -> list[Event]:
        """Events that began; changes of limits are left out, because they follow from those of the series."""
        return [
            one
            for one in self._store.events.between(begin, end)
            if begin <= one.at < end and not is_limit_change(one)
        ]

    def _incidents(self, begin: datetime, end: datetime) -> list[Incident]:
        """Incidents that began or ended."""
        return [
            replace(one, end=one.end if one.end is not None and one.end < end else None)
            for one in self._store.incidents.between(begin, end)
            if begin <= one.start < end or (one.end is not None and begin <= one.end < end)
        ]

    def _edges(self, now: datetime) -> Sequence[tuple[str, str]]:
        """The observed service graph. It has no history, so that it is the one of today."""
        if self._edges_at is not None and now < self._edges_at + _EDGES_EVERY:
            return ()
        self._edges_at = now
        return self._store.service_edges.since(now)
