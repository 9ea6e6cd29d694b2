"""Bring what a source has into the store: validated, each value once, and never half a batch."""

from dataclasses import dataclass

import polars as pl

from core.domain import Series
from core.ports import Batch, MetricSource, Store
from pipelines.collect.validation import rejected_rows, validate_samples
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.stores.intake import REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one ingest did.

    Attributes:
        inserted: samples that are new.
        duplicates: samples that were there already, with the same value.
        rejected: rows refused, all of them in the dead letters with the reason.
        series: how many series the source spoke of.
        events: how many events are new.
        incidents: how many incidents are new.
    """

    inserted: int = 0
    duplicates: int = 0
    rejected: int = 0
    series: int = 0
    events: int = 0
    incidents: int = 0


def ingest(platform: Platform, source: MetricSource, progress: Progress = silent) -> IngestReport:
    """Take over everything that the source has after the stored cursor.

    Each batch is one transaction together with its cursor, its dead letters and its events: killed at any
    moment and started again, it ends in the same state as if it had never been killed.

    Args:
        progress: told the rows done; the total is 0, since a source does not know it beforehand.
    Raises:
        InputError: the place does not exist or is not of this kind.
        UnavailableError: the source or the database does not answer; what was taken over stays.
    """
    store = platform.store
    seen: dict[int, Series] = {}
    report = IngestReport()
    for batch in source.batches(store.cursors.get(source.name)):
        seen.update({series.series_id: series for series in batch.series})
        part = ingest_batch(platform, source.name, batch)
        report = IngestReport(
            inserted=report.inserted + part.inserted,
            duplicates=report.duplicates + part.duplicates,
            rejected=report.rejected + part.rejected,
            series=len(seen),
            events=report.events + part.events,
            incidents=report.incidents + part.incidents,
        )
        progress(f"ingest {source.name}", report.inserted + report.duplicates + report.rejected, 0)
    return report


def ingest_batch(platform: Platform, name: str, batch: Batch) -> IngestReport:
    """Take over one batch, in one transaction: what a receiver of pushed metrics calls.

    Args:
        name: the source, for dead letters and the cursor.
    Raises:
        UnavailableError: the database does not answer; nothing of the batch is kept.
    """
    with platform.store.atomically():
        return _take_over(platform, name, batch)


def _take_over(platform: Platform, name: str, batch: Batch) -> IngestReport:
    store = platform.store
    store.series.register(batch.series)
    rejected = [] if batch.rejected is None else [batch.rejected.select(*REJECTED)]
    inserted = duplicates = 0
    if batch.samples is not None and not batch.samples.is_empty():
        known = _known_series(store, batch)
        checked = validate_samples(batch.samples, known, platform.clock.now())
        written = store.samples.write(checked.accepted)
        inserted, duplicates = written.inserted, written.duplicates
        reason = pl.format("value {} contradicts {}, which is stored for that time", "value", "stored")
        conflicts = written.conflicts.with_columns(reason=reason)
        rejected += [checked.rejected, rejected_rows(conflicts, known)]
    refused = pl.concat(rejected) if rejected else pl.DataFrame(schema=REJECTED)
    store.dead_letters.add(name, refused)
    events = store.events.add(batch.events)
    incidents = store.incidents.add(batch.incidents)
    if batch.cursor is not None:
        store.cursors.set(name, batch.cursor)
    return IngestReport(
        inserted=inserted,
        duplicates=duplicates,
        rejected=refused.height,
        series=len(batch.series),
        events=events,
        incidents=incidents,
    )


def _known_series(store: Store, batch: Batch) -> dict[int, Series]:
    """The series of the batch; those it speaks of without naming them may be known from before."""
    known = {series.series_id: series for series in batch.series}
    if batch.samples is not None:
        others = set(batch.samples["series_id"].drop_nulls().unique()) - set(known)
        known.update(
            {series_id: store.series.get(series_id) for series_id in store.series.known(list(others))}
        )
    return known
