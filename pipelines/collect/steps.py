"""Steps of pushed traces and logs: counts are collected until a step is complete, and then become samples."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from core.batch import Batch
from core.ports import Store
from pipelines.collect.ingest import IngestReport, ingest_batch
from pipelines.collect.validation import FUTURE_TOLERANCE_S
from pipelines.common.progress import Progress
from pipelines.common.scoring_cursor import score_again_from
from pipelines.common.tenant_platform import Platform

STEP = timedelta(minutes=1)
#: A step is complete when it ended so long ago. SDKs send every 5 s, Collectors repeat for minutes; a longer time would
#: delay every signal, and a shorter one would reject what was sent before each restart of the service.
LATENESS = timedelta(minutes=2)
#: What is older is an error of a clock, or of a queue that comes too late to be of use.
MAX_AGE = timedelta(days=1)
#: So many steps are stored in one transaction.
_CHUNK = timedelta(hours=1)
#: What tells repeats apart is kept for so long after its step has been stored. Clocks differ by less.
_KEPT = timedelta(seconds=FUTURE_TOLERANCE_S)


class StepCounts(Protocol):
    """Counts by step."""

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        ...

    def oldest(self) -> datetime | None:
        """The first step that has counts; null when there are none."""
        ...


class OpenSteps:
    """The times of which counts are accepted now.

    Args:
        source: its cursor is the end of the steps that are stored.
    """

    def __init__(self, store: Store, source: str, now: datetime) -> None:
        cursor = store.cursors.get(source)
        stored = None if cursor is None else datetime.fromisoformat(cursor)
        self.since = now - MAX_AGE if stored is None else max(stored, now - MAX_AGE)
        self._first_ns = self.since.timestamp() * 1e9
        self._last_ns = (now.timestamp() + FUTURE_TOLERANCE_S) * 1e9

    def problem(self, at_ns: int) -> str | None:
        """Why a time is not accepted; null: it is."""
        if at_ns < self._first_ns:
            return f"before {self.since:%Y-%m-%d %H:%M} UTC, and so it comes too late to be counted"
        return "in the future" if at_ns > self._last_ns else None


def step_of(at_ns: int) -> datetime:
    """The start of the step in which a time lies."""
    seconds = int(STEP.total_seconds())
    return datetime.fromtimestamp(at_ns // (seconds * 10**9) * seconds, UTC)


def store_complete_steps(
    platform: Platform,
    source: str,
    counts: StepCounts,
    batch_before: Callable[[datetime], Batch],
    progress: Progress,
) -> IngestReport:
    """Store the samples of all steps that are complete.

    Each chunk of steps is one transaction with the removal of its counts, so that a kill changes nothing.

    Args:
        batch_before: removes the counts of the steps before a time, and returns their samples.
    """
    store, end = platform.store, complete_until(platform.clock.now())
    report = IngestReport()
    while (oldest := counts.oldest()) is not None and oldest < end:
        before = min(end, oldest + _CHUNK)
        with store.atomically():
            counts.hold(change=True)
            report += ingest_batch(platform, source, batch_before(before))
            score_again_from(store, oldest + STEP)
        progress(f"summarise {source}", report.inserted, 0)
    return report


def complete_until(now: datetime) -> datetime:
    """The end of the steps that are complete."""
    return step_of(round((now - LATENESS).timestamp() * 1e6) * 1_000)


def repeats_kept_since(now: datetime) -> datetime:
    """A request or span that was seen before this time is rejected if it comes again, because its step is stored."""
    return complete_until(now) - _KEPT
