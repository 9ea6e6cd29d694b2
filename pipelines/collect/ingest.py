"""Read a source and store what it has: validated, each value once, and each batch whole or not at all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import polars as pl

from core.batch import Batch, Declaration
from core.domain import Series
from core.frames import SAMPLES
from core.ports import MetricSource, Store
from pipelines.collect.metric_types import declare_types
from pipelines.collect.validation import rejected_rows, validate_samples
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.recent_counts import CountedRates, rates_of
from pipelines.stores.dead_letters import REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one ingest did.

    Attributes:
        inserted: samples that are new.
        duplicates: samples that were stored before, with the same value.
        already_read: samples that an earlier ingest has read, and that were not read again.
        rejected: rows that were rejected; all of them are kept as dead letters with the reason.
        series: how many series the source sent.
        events: how many events are new.
        incidents: how many incidents are new.
        notes: what people must know, such as files that were skipped.
        first_rejected: why the first rejected row was rejected, with its file.
    """

    inserted: int = 0
    duplicates: int = 0
    already_read: int = 0
    rejected: int = 0
    series: int = 0
    events: int = 0
    incidents: int = 0
    notes: tuple[str, ...] = ()
    first_rejected: str | None = field(default=None, compare=False)

    def __add__(self, other: "IngestReport") -> "IngestReport":
        """The sum of both; a series that both count, counts twice."""
        return IngestReport(
            inserted=self.inserted + other.inserted,
            duplicates=self.duplicates + other.duplicates,
            already_read=self.already_read + other.already_read,
            rejected=self.rejected + other.rejected,
            series=self.series + other.series,
            events=self.events + other.events,
            incidents=self.incidents + other.incidents,
            notes=(*self.notes, *(note for note in other.notes if note not in self.notes)),
            first_rejected=self.first_rejected or other.first_rejected,
        )

    @property
    def took_nothing(self) -> bool:
        """Whether the source had something, and nothing of it was accepted, neither now nor earlier."""
        accepted = self.inserted + self.duplicates + self.already_read + self.events + self.incidents
        return accepted == 0 and (self.rejected > 0 or bool(self.notes))


def ingest(platform: Platform, source: MetricSource, progress: Progress = silent) -> IngestReport:
    """Store everything that the source has after the stored cursor.

    Each batch is one transaction together with its cursor, its dead letters and its events. If the process is
    killed at any moment and started again, the stored data are the same as without the kill.

    Args:
        progress: called with the number of rows done; the total is 0, because a source does not know it beforehand.
    Raises:
        InputError: the place does not exist or is not of this kind.
        UnavailableError: the source or the database does not answer; the batches that were stored stay.
    """
    store = platform.store
    seen: set[int] = set()
    declarations: Sequence[Declaration] | None = None
    open_declarations: dict[int, Declaration] = {}
    report = IngestReport()
    for batch in source.batches(store.cursors.get(source.name)):
        seen.update(series.series_id for series in batch.series)
        if declarations is None:
            declarations = batch.declarations
            open_declarations = {one.line: one for one in declarations}
        _close(open_declarations, batch.series)
        report = replace(report + ingest_batch(platform, source.name, batch), series=len(seen))
        progress(f"ingest {source.name}", report.inserted + report.duplicates + report.rejected, 0)
    if declarations is not None and not (seen or report.already_read or report.rejected or report.notes):
        report += IngestReport(
            notes=(f"{source.name}: no series was found; check the place and the selectors",)
        )
    if declarations:
        every = store.series.find()
        # A changed limit takes effect at once, also if the series has no new samples.
        store.series.register(_declared_anew(declarations, every, seen))
        _close(open_declarations, every)
        report += IngestReport(notes=tuple(_unmatched(one, every) for one in open_declarations.values()))
    return report


def _declared_anew(
    declarations: Sequence[Declaration], every: Sequence[Series], seen: set[int]
) -> list[Series]:
    """Series without new samples whose declared facts have changed.

    Only a declaration that names service and metric counts: others may be about series of another source.
    """
    named = {(one.service, one.metric) for one in declarations}
    changed = []
    for one in every:
        if one.series_id not in seen and (one.service, one.metric) in named:
            described = one
            for declaration in declarations:
                if declaration.matches(one):
                    described = declaration.describe(described)
            if described != one:
                changed.append(described)
    return changed


def _close(declarations: dict[int, Declaration], series: Sequence[Series]) -> None:
    """Remove the declarations that match a series."""
    for line in [line for line, one in declarations.items() if any(map(one.matches, series))]:
        del declarations[line]


def _unmatched(declaration: Declaration, series: Sequence[Series]) -> str:
    known = {name for one in series for name in one.labels}
    unknown = [f"'{name}'" for name in declaration.labels if name not in known]
    name = f"{declaration.service or '*'}/{declaration.metric or '*'}"
    labels = f"; {', '.join(unknown)} is no field, and no series has such a label" if unknown else ""
    return f"series.csv, line {declaration.line}: no series matches {name}{labels}"


def ingest_batch(platform: Platform, name: str, batch: Batch) -> IngestReport:
    """Store one batch in one transaction. A receiver of pushed metrics calls this.

    Args:
        name: of the source, for dead letters and the cursor.
    Raises:
        UnavailableError: the database does not answer; nothing of the batch is kept.
    """
    with platform.store.atomically():
        return _store_batch(platform, name, batch)


def _store_batch(platform: Platform, name: str, batch: Batch) -> IngestReport:
    store = platform.store
    rejected = [declare_types(store, batch.metric_types)]
    store.series.register(batch.series)
    if batch.rejected is not None:
        rejected.append(batch.rejected.select(*REJECTED))
    known, now = _known_series(store, batch), platform.clock.now()
    samples = [pl.DataFrame(schema=SAMPLES)]
    duplicates = 0
    if batch.samples is not None and not batch.samples.is_empty():
        checked = validate_samples(batch.samples, known, now, batch.origins)
        samples.append(checked.accepted)
        rejected.append(checked.rejected)
    if batch.counts is not None and not batch.counts.is_empty():
        checked = validate_samples(batch.counts, known, now)
        rated = _rated(store, checked.accepted)
        rates = validate_samples(rated.rates, known, now)  # a rate can be infinite
        samples.append(rates.accepted)
        late = _not_stored(store, rated.late)
        useless = pl.concat([rated.contradicting, late])
        rejected += [checked.rejected, rejected_rows(useless, known), rates.rejected]
        duplicates += rated.duplicates + rated.late.height - late.height
    written = store.samples.write(pl.concat(samples))
    inserted, duplicates = written.inserted, duplicates + written.duplicates
    reason = pl.format("value {} contradicts {}, which is stored for that time", "value", "stored")
    rejected.append(rejected_rows(written.conflicts.with_columns(reason=reason), known, batch.origins))
    refused = pl.concat(rejected)
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
        notes=tuple(batch.notes),
        already_read=batch.already_read,
        first_rejected=_first_rejected(refused),
    )


def _first_rejected(rejected: pl.DataFrame) -> str | None:
    if rejected.is_empty():
        return None
    row = json.loads(rejected["row"][0])
    file = row.get("file") if isinstance(row, dict) else None
    return f"{file}, {rejected['reason'][0]}" if file else str(rejected["reason"][0])


def _not_stored(store: Store, late: pl.DataFrame) -> pl.DataFrame:
    """Those of some late counts whose rate is not stored; the others are repeated ones."""
    if late.is_empty():
        return late
    first, last = late["ts"].min(), late["ts"].max()
    if not (isinstance(first, datetime) and isinstance(last, datetime)):
        raise TypeError("times of counts are datetimes")
    ids = late["series_id"].unique().to_list()
    stored = store.samples.read(first, last + timedelta(microseconds=1), ids)
    return late.join(stored, on=["series_id", "ts"], how="anti", maintain_order="left")


def _rated(store: Store, counts: pl.DataFrame) -> CountedRates:
    """Rates from counts and the counts that are stored."""
    ids = counts["series_id"].unique().to_list()
    rated = rates_of(store.counters.recent(ids), counts)
    store.counters.save(rated.recent)
    return rated


def _known_series(store: Store, batch: Batch) -> dict[int, Series]:
    """The series of the batch, and the stored series of samples that came without their series."""
    known = {series.series_id: series for series in batch.series}
    frames = [frame for frame in (batch.samples, batch.counts) if frame is not None]
    if frames:
        others = set(pl.concat(frames)["series_id"].drop_nulls().unique()) - set(known)
        known.update(
            {series_id: store.series.get(series_id) for series_id in store.series.known(list(others))}
        )
    return known
