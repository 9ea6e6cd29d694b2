"""Store dead letters that can be stored now, through the same validation and ingest as at first.

A refused sample can be stored later: its time is no longer in the future, its series exists now, or the kind of its
series has changed. Other rows (lines of files, bodies of webhooks, series with invalid labels) do not hold what was
sent in full, so their sender has to send them again.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from core.batch import Batch
from core.dead_letters import EVERY_DEAD_LETTER, DeadLetter, DeadLetterFilter
from core.domain import Series, SeriesKind
from core.frames import SAMPLES
from core.locks import RETRY_LOCK
from core.ports import Store
from pipelines.collect.ingest import store_accepted
from pipelines.collect.metric_types import declare_types
from pipelines.collect.rejected_samples import RejectedSample, SampleKey, read_rejected_sample
from pipelines.common.one_at_a_time import alone
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.queues.queue_address import is_queue
from pipelines.stores.dead_letters import REJECTED

#: Rows of one transaction.
CHUNK_ROWS = 1_000
#: The row of a sample is much shorter; longer rows are bodies of webhooks.
MAX_ROW_CHARS = 20_000
MAX_REASONS = 5

_WEBHOOK = "Correct the body and send the webhook again"
_FILE = "Correct the file and ingest it again"
_SENDER = "The values are not stored. Correct the sender; it has to send them again"
_IMPOSSIBLE = "The series, the time or the value is missing or is not finite. Send the sample again"
_NO_SERIES = "No series, or several, have this name. Send the sample again"
_COUNT_OR_RATE = "An older release stored the row; it can be a count or a rate. Send the sample again"
_RATE = "The value is a rate, and the series is no counter any more. Send the sample again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryReport:
    """What a retry of dead letters did.

    Attributes:
        stored: rows whose sample is stored now; they are no dead letters any more.
        rejected_again: rows that were rejected again; they are kept with the newest reason.
        not_retried: rows that only their sender can send again; they are kept as they are.
        reasons: why rows were rejected again, the first few.
        remedies: what to do about rows that were not retried.
    """

    stored: int = 0
    rejected_again: int = 0
    not_retried: int = 0
    reasons: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    """A dead letter that is a sample of a series; `counted`: its value is a count."""

    letter: DeadLetter
    row: RejectedSample
    series_id: int
    counted: bool

    @property
    def key(self) -> SampleKey:
        return self.series_id, self.row.ts, self.row.value, self.row.is_rate

    def rejected_again(self, row: str, reason: str) -> DeadLetter:
        """The letter with the newest reason, as an ingest stores it; file and line stay."""
        if self.row.file is None:
            return replace(self.letter, row=row, reason=reason)
        placed = {"file": self.row.file, "line": self.row.line, **json.loads(row)}
        return replace(self.letter, row=json.dumps(placed), reason=f"line {self.row.line}: {reason}")


def retry_dead_letters(
    platform: Platform,
    which: DeadLetterFilter = EVERY_DEAD_LETTER,
    limit: int | None = None,
    *,
    progress: Progress = silent,
) -> RetryReport:
    """Store the rejected samples that can be stored now, oldest first, and remove them from the dead letters.

    Each chunk is one transaction: a sample is stored, or it is a dead letter, whenever the process is killed. A sample
    that is stored already with the same value counts as stored, and is not stored twice.

    Args:
        limit: at most so many rows are read; null: all.
    Raises:
        BusyError: another process retries dead letters of this tenant.
        UnavailableError: the database does not answer; what was retried before stays stored.
    """
    with alone(platform, RETRY_LOCK, progress):
        retry = _Retry(platform, which)
        done = 0
        while limit is None or done < limit:
            read = retry.next_chunk(CHUNK_ROWS if limit is None else min(CHUNK_ROWS, limit - done))
            if not read:
                break
            done += read
            progress("retry dead letters", done, 0)
        return retry.report()


class _Retry:
    """One run over the dead letters."""

    def __init__(self, platform: Platform, which: DeadLetterFilter) -> None:
        self._platform = platform
        self._which = which
        self._after = 0
        self._stored = 0
        self._rejected = 0
        self._reasons: dict[str, None] = {}
        self._remedies: Counter[tuple[str, str]] = Counter()
        self._by_name: Mapping[str, Sequence[Series]] | None = None

    def next_chunk(self, rows: int) -> int:
        """Retry the next rows in one transaction; returns how many were read."""
        store = self._platform.store
        with store.atomically():
            declare_types(store, {})  # holds the types, so that no series is read anew meanwhile
            letters = store.dead_letters.lock_next(self._which, self._after, rows, MAX_ROW_CHARS)
            samples, remedies = self._sorted(letters)
            refused = {
                source: self._store(source, [one for one in samples if one.letter.source == source])
                for source in dict.fromkeys(one.letter.source for one in samples)
            }
            store.dead_letters.remove([one.letter.letter_id for one in samples])
            kept = [one for source in refused for one in refused[source]]
            store.dead_letters.put_back(kept)
        # counted after the commit
        self._after = max((one.letter_id for one in letters), default=self._after)
        self._stored += len(samples) - len(kept)
        self._rejected += len(kept)
        self._remedies += remedies
        self._reasons |= dict.fromkeys(one.reason for one in kept)
        return len(letters)

    def report(self) -> RetryReport:
        return RetryReport(
            stored=self._stored,
            rejected_again=self._rejected,
            not_retried=self._remedies.total(),
            reasons=tuple(self._reasons)[:MAX_REASONS],
            remedies=tuple(
                f"{count} of {source}: {remedy}."
                for (source, remedy), count in sorted(
                    self._remedies.items(), key=lambda one: (-one[1], one[0])
                )
            ),
        )

    def _sorted(self, letters: Sequence[DeadLetter]) -> tuple[list[_Sample], Counter[tuple[str, str]]]:
        """The letters that can be retried, and how many of each source have which remedy."""
        rows = [(letter, read_rejected_sample(letter.row)) for letter in letters]
        kinds = _kinds(self._platform.store, {one.series_id for _, one in rows if one and one.series_id})
        samples = []
        remedies: Counter[tuple[str, str]] = Counter()
        for letter, row in rows:
            found = _remedy(letter) if row is None else self._sample(letter, row, kinds)
            if isinstance(found, str):
                remedies[letter.source, found] += 1
            else:
                samples.append(found)
        return samples, remedies

    def _sample(
        self, letter: DeadLetter, row: RejectedSample, kinds: Mapping[int, SeriesKind]
    ) -> _Sample | str:
        """The sample to store, or the remedy."""
        if row.series_id is None:
            named = self._series_named(row.series_name)
            if len(named) != 1:
                return _NO_SERIES
            series_id, kind = named[0].series_id, named[0].kind
        else:
            # A series that is still unknown is rejected again, by the ingest.
            series_id, kind = row.series_id, kinds.get(row.series_id, SeriesKind.GAUGE)
        is_counter = kind is SeriesKind.COUNTER
        if row.series_id is None and is_counter:
            return _COUNT_OR_RATE
        if row.is_rate and not is_counter:
            return _RATE
        return _Sample(letter, row, series_id, is_counter and not row.is_rate)

    def _series_named(self, name: str) -> Sequence[Series]:
        """The series with that name, for rows of older releases, which have no id."""
        if self._by_name is None:
            by_name: dict[str, list[Series]] = {}
            for one in self._platform.store.series.find():
                by_name.setdefault(one.name, []).append(one)
            self._by_name = by_name
        return self._by_name.get(name, ())

    def _store(self, source: str, samples: Sequence[_Sample]) -> list[DeadLetter]:
        """Ingest the samples of one source; returns the letters that were rejected again, with the newest reason."""
        batch = Batch(
            samples=_frame([one for one in samples if not one.counted]),
            counts=_frame([one for one in samples if one.counted]),
        )
        _, refused = store_accepted(self._platform, source, batch, pl.DataFrame(schema=REJECTED))
        reasons = {}
        others = []
        known = {one.key for one in samples}
        for row, reason in refused.iter_rows():
            rejected = read_rejected_sample(row)
            if rejected is not None and rejected.key in known:
                reasons[rejected.key] = row, reason
            else:
                others.append((row, reason))  # the rate that a count gave
        self._platform.store.dead_letters.add(source, pl.DataFrame(others, schema=REJECTED, orient="row"))
        return [one.rejected_again(*reasons[one.key]) for one in samples if one.key in reasons]


def _kinds(store: Store, series_ids: set[int]) -> dict[int, SeriesKind]:
    """Id -> kind of those series that exist."""
    return {one: store.series.get(one).kind for one in store.series.known(sorted(series_ids))}


def _frame(samples: Sequence[_Sample]) -> pl.DataFrame:
    rows = [(one.series_id, one.row.ts, one.row.value) for one in samples]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def _remedy(letter: DeadLetter) -> str:
    """What to do about a row that is no sample."""
    if letter.source.startswith("webhook:"):
        return _WEBHOOK
    if is_queue(letter.source):
        return _SENDER
    if letter.row.startswith('{"file":'):
        return _FILE
    if '"ts":' in letter.row and '"value":' in letter.row:
        return _IMPOSSIBLE
    return _SENDER
