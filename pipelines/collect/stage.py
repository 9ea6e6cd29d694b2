"""Keep the raw samples of remote_write and OTLP, until the watch cycle computes golden signals from them.

They are pushed, or come from a queue.
One row of the database holds the samples of a request, so that a request costs one or two statements.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import BoolArray, IntArray
from core.metric_types import declared_names, declaring_names, is_counter
from core.moments import microseconds
from core.ports import Store
from core.pushed import PushedSamples
from pipelines.collect.ingest import IngestReport
from pipelines.collect.validation import FUTURE_TOLERANCE_S
from pipelines.collect.written import Written
from pipelines.common.tenant_platform import Platform
from pipelines.sources.classic_buckets import classic_request
from pipelines.sources.remote_write_columns import WriteRequest
from pipelines.sources.remote_write_known import KnownLabels
from pipelines.stores.dead_letters import REJECTED
from pipelines.stores.pushed import REGISTER_AGAIN

#: Older samples are rejected: no golden signal is computed from them any more. A sender that was cut off sends again
#: what it could not send; Prometheus keeps two hours of it.
OLDEST = timedelta(days=1)
#: So many series are remembered. With more, all are forgotten and registered again.
MAX_KNOWN = 100_000
FUTURE = timedelta(seconds=FUTURE_TOLERANCE_S)
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a request.

    Attributes:
        samples: which samples were kept, those of classic histograms after all others.
        written: how many samples and native histograms of the request were kept.
        registered: ids of the series whose labels were stored.
        at: when.
    """

    report: IngestReport
    samples: BoolArray
    written: Written
    registered: Sequence[int]
    at: datetime


class Staging:
    """Keeps the raw samples of one tenant. It is thread-safe.

    It remembers which series are registered in the database, because most requests have the series of the one before.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        #: Id -> until when a series counts as registered.
        self._registered: dict[int, datetime] = {}
        #: When samples that nothing was computed from were removed last.
        self._cleared = _NEVER

    def store(self, name: str, request: WriteRequest) -> Kept:
        """Keep the samples of a request, and dead letters of what cannot be kept, in one transaction.

        Args:
            name: of the source, for dead letters.
        Raises:
            UnavailableError: the database does not answer; nothing of the request is kept.
        """
        with self._platform.store.atomically():
            kept = self.keep(name, request)
        self.remember(kept)
        return kept

    def keep(self, name: str, request: WriteRequest, place: str = "") -> Kept:
        """As `store`, in the transaction of the caller, who calls `remember` when it is committed.

        Args:
            name: of the source, for dead letters.
            place: of the request in the source, for dead letters; "": it has none.
        """
        store, now = self._platform.store, self._platform.clock.now()
        sent = len(request.values)
        classic = classic_request(request)
        request = classic.request
        ids = [one.raw_id for one in request.series]
        known = self._registered
        new = {
            series_id: one
            for series_id, one in zip(ids, request.series, strict=True)
            if known.get(series_id, _NEVER) < now
        }
        bad = _Bad(request)
        bad.by_time(now)
        good = bad.good
        samples = PushedSamples(
            np.repeat(np.array(ids, dtype=np.int64), request.lengths)[good],
            request.times_ms[good],
            request.values[good],
        )
        store.pushed.add({series_id: one.labels for series_id, one in new.items()}, samples, now)
        if self._cleared < now - REGISTER_AGAIN:
            store.pushed.forget(now - OLDEST)
            self._cleared = now
        rejected = pl.concat([bad.rejected(), _declare(store, request.metric_types)])
        if place:
            rejected = rejected.with_columns(pl.concat_str(pl.lit(f"{place}: "), "reason"))
        store.dead_letters.add(name, rejected)
        report = IngestReport(
            inserted=len(samples.times_ms),
            rejected=rejected.height,
            series=len(ids),
            first_rejected=None if rejected.is_empty() else str(rejected["reason"][0]),
        )
        written = Written(samples=int(good[:sent].sum()), histograms=int(good[classic.firsts].sum()))
        return Kept(report, good, written, tuple(new), now)

    def remember(self, kept: Kept) -> None:
        """Take the series of a request for registered, now that its transaction is committed."""
        if len(self._registered) > MAX_KNOWN:
            self._registered = {}
        self._registered.update(dict.fromkeys(kept.registered, kept.at + REGISTER_AGAIN))


def _declare(store: Store, types: Mapping[str, str]) -> pl.DataFrame:
    """Store new types, and remove what was computed of a metric that was not known to be a counter.

    Prometheus sends the types within a minute, so mostly nothing has been computed by then.

    Returns:
        Rejected rows: one for each series whose values were removed.
    """
    known = {name: kind for name, kind in types.items() if kind != "unknown"}
    stored = store.metric_types.declared(sorted(known)) if known else {}
    changed = {name: kind for name, kind in known.items() if stored.get(name) != kind}
    if not changed:
        return pl.DataFrame(schema=REJECTED)
    concerned = declared_names(changed)
    before = store.metric_types.declared(sorted(declaring_names(concerned)))
    store.metric_types.declare(changed)
    after = {**before, **changed}
    rows = []
    for series in store.series.of_metrics(sorted(concerned)):
        counter = is_counter(series.metric, after)
        if counter is not is_counter(series.metric, before):
            row = {"series": series.name, "values": store.samples.remove(series.series_id)}
            kind = "a counter" if counter else "no counter"
            reason = f"these values were removed: the metric is declared to be {kind} now"
            rows.append((json.dumps(row), reason))
    return pl.DataFrame(rows, schema=REJECTED, orient="row")


class _Bad:
    """What of a request cannot be kept.

    Attributes:
        good: which samples can be kept.
    """

    def __init__(self, request: WriteRequest) -> None:
        self._request = request
        self._rows: list[tuple[str, str]] = []
        self.good: BoolArray = np.ones(len(request.times_ms), dtype=bool)

    def by_time(self, now: datetime) -> None:
        """Reject samples that are too old or lie in the future, with one row for each series."""
        times_ms = self._request.times_ms
        first, last = (microseconds(moment) // 1000 for moment in (now - OLDEST, now + FUTURE))
        good = (times_ms >= first) & (times_ms <= last)
        if good.all():
            return
        self.good &= good
        places = self._places()
        for place in np.unique(places[~good]).tolist():
            bad = times_ms[(places == place) & ~good]
            reason = "is older than a day" if bad[0] < first else "lies in the future"
            self._reject(self._request.series[place], len(bad), f"a sample {reason}: its time is {bad[0]} ms")

    def rejected(self) -> pl.DataFrame:
        """Everything that was rejected, with what could not be read."""
        if not self._rows:
            return self._request.rejected
        return pl.concat([self._request.rejected, pl.DataFrame(self._rows, schema=REJECTED, orient="row")])

    def _places(self) -> IntArray:
        """The place of the series of each sample."""
        return np.repeat(np.arange(len(self._request.series)), self._request.lengths)

    def _reject(self, series: KnownLabels, samples: int, reason: str) -> None:
        self._rows.append((json.dumps({"labels": dict(series.labels), "samples": samples}), reason))
