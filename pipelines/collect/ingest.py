"""Read a source and store what it has: validated, each value once, and each batch whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.batch import Batch, Declaration
from core.domain import Series
from core.frames import (
    SAMPLES,
    TIMES,
    chosen_rows,
    require_frame,
    rows_without,
    stacked,
    with_reason,
)
from core.locks import ingest_lock
from core.ports import MetricSource, Store
from pipelines.collect.counter_rates import rates_of
from pipelines.collect.metric_types import Sender, declare_types, retype
from pipelines.collect.native_quantiles import native_quantiles
from pipelines.collect.register_series import register_series
from pipelines.collect.validation import FUTURE_TOLERANCE_S, Validated, rejected_rows, validate_samples
from pipelines.common.one_at_a_time import alone
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.sidecars import with_kind_as_read
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
        BusyError: another process reads this source now.
        InputError: the place does not exist or is not of this kind.
        UnavailableError: the source or the database does not answer; the batches that were stored stay.
    """
    with alone(platform, ingest_lock(source.name), progress):
        return _ingest(platform, source, progress)


def _ingest(platform: Platform, source: MetricSource, progress: Progress) -> IngestReport:
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
        changed, kept = _declared_anew(declarations, every, seen)
        with store.atomically():
            events = register_series(store, changed, platform.clock.now())
        report += IngestReport(events=events, notes=tuple(dict.fromkeys(kept)))
        _close(open_declarations, every)
        report += IngestReport(notes=tuple(_unmatched(one, every) for one in open_declarations.values()))
    return report


def _declared_anew(
    declarations: Sequence[Declaration], every: Sequence[Series], seen: set[int]
) -> tuple[list[Series], list[str]]:
    """Series without new samples whose declared facts have changed, and notes on kinds that cannot change.

    Only a declaration that names service and metric counts: others may be about series of another source.
    """
    named = {(one.service, one.metric) for one in declarations}
    changed, notes = [], []
    for one in every:
        if one.series_id not in seen and (one.service, one.metric) in named:
            described = one
            for declaration in declarations:
                if declaration.matches(one):
                    described = declaration.describe(described)
            described, note = with_kind_as_read(one, described)
            notes += [note] if note else []
            if described != one:
                changed.append(described)
    return changed, notes


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
        retyped = declare_types(
            platform.store, batch.metric_types, Sender(name=name, at=platform.clock.now())
        )
        return store_batch(platform, name, batch, retyped)


def store_batch(platform: Platform, name: str, batch: Batch, retyped: pl.DataFrame) -> IngestReport:
    """Store one batch in the transaction of the caller, which has declared the types of the batch.

    Args:
        retyped: what `declare_types` rejected.
    """
    report, refused = store_accepted(platform, name, batch, retyped)
    platform.store.dead_letters.add(name, refused)
    return report


def store_accepted(
    platform: Platform, name: str, batch: Batch, retyped: pl.DataFrame
) -> tuple[IngestReport, pl.DataFrame]:
    """As `store_batch`, but the caller stores the dead letters, which are returned beside the report."""
    store = platform.store
    rejected = [retyped, retype(store, batch.declarations, batch.series)]
    if batch.contradictions:
        now = platform.clock.now()
        store.contradictions.add([replace(one, source=name) for one in batch.contradictions], now)
    limits = register_series(store, batch.series, platform.clock.now())
    if batch.rejected is not None:
        rejected.append(require_frame(batch.rejected, REJECTED))
    known, now = _known_series(store, batch), platform.clock.now()
    checked = validate_samples(_frame(batch.samples), known, now, batch.origins)
    counted = _rated(
        store, validate_samples(_frame(batch.counts), known, now, batch.origins, counts=True), known, batch
    )
    quantiles = native_quantiles(store, batch.histograms, counted.accepted)
    written = store.samples.write(stacked([checked.accepted, counted.rates, quantiles]))
    reason = pl.format("value {} contradicts {}, which is stored for that time", "value", "stored")
    conflicts = with_reason(written.conflicts, reason)
    rejected += [checked.rejected, counted.rejected, _store_ends(store, batch, known, now)]
    rejected.append(rejected_rows(conflicts, known, _origins_of(conflicts, batch.origins)))
    refused = stacked(rejected)
    events = limits + store.events.add(batch.events)
    incidents = store.incidents.add(batch.incidents) + store.incidents.change(batch.alert_changes)
    if batch.calls:
        store.service_edges.see(batch.calls, now)
    if batch.cursor is not None:
        store.cursors.set(name, batch.cursor)
    report = IngestReport(
        inserted=written.inserted,
        duplicates=counted.duplicates + written.duplicates,
        rejected=refused.height,
        series=len(batch.series),
        events=events,
        incidents=incidents,
        notes=tuple(batch.notes),
        already_read=batch.already_read,
        first_rejected=_first_rejected(refused),
    )
    return report, refused


def _first_rejected(rejected: pl.DataFrame) -> str | None:
    if rejected.is_empty():
        return None
    row = json.loads(rejected["row"][0])
    file = row.get("file") if isinstance(row, dict) else None
    return f"{file}, {rejected['reason'][0]}" if file else str(rejected["reason"][0])


def _frame(samples: pl.DataFrame | None) -> pl.DataFrame:
    return pl.DataFrame(schema=SAMPLES) if samples is None else samples


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """What became of the counts of a batch.

    Attributes:
        rates: `SAMPLES`, finite.
        accepted: series_id and ts of the counts that are new or known.
        duplicates: how many counts were stored already.
        rejected: dead letters.
    """

    rates: pl.DataFrame
    accepted: pl.DataFrame
    duplicates: int
    rejected: pl.DataFrame


def _rated(store: Store, counts: Validated, known: Mapping[int, Series], batch: Batch) -> _Rated:
    """Rates from counts and the counts that are stored; the newest counts are stored for the next batch."""
    if counts.accepted.is_empty():
        return _Rated(rates=counts.accepted, accepted=counts.accepted, duplicates=0, rejected=counts.rejected)
    ids = np.unique(counts.accepted["series_id"].to_numpy()).tolist()
    counted = rates_of(store.counters.recent(ids), counts.accepted, batch.created)
    store.counters.save(counted.recent)
    # A file that is read again has counts whose rates are stored.
    stored = store.samples.stored_at(counted.late)
    late = rows_without(counted.late, stored, list(TIMES))
    is_finite = np.isfinite(counted.rates["value"].to_numpy())
    infinite = with_reason(
        chosen_rows(counted.rates, ~is_finite),
        pl.lit("the rate is infinite, because the count grew by too much"),
    )
    return _Rated(
        rates=chosen_rows(counted.rates, is_finite),
        accepted=rows_without(counts.accepted, stacked([counted.contradicting, counted.late]), list(SAMPLES)),
        duplicates=counted.duplicates + stored.height,
        rejected=stacked(
            [
                counts.rejected,
                rejected_rows(counted.contradicting, known, batch.origins, counts=True),
                rejected_rows(late, known, batch.origins, counts=True),
                rejected_rows(infinite, known, _origins_of(infinite, batch.origins)),
            ]
        ),
    )


def _store_ends(store: Store, batch: Batch, known: Mapping[int, Series], now: datetime) -> pl.DataFrame:
    """Store the ends of series; returns dead letters of those in the future."""
    if batch.ends is None or batch.ends.is_empty():
        return pl.DataFrame(schema=REJECTED)
    is_future = pl.col("ts") > now + timedelta(seconds=FUTURE_TOLERANCE_S)
    store.series_ends.add(batch.ends.filter(~is_future))
    reason = pl.format(
        "the end of the series at {} is in the future", pl.col("ts").dt.to_string("iso:strict")
    )
    future = batch.ends.filter(is_future).with_columns(value=pl.lit(float("nan")), reason=reason)
    return rejected_rows(future, known)


def _origins_of(rows: pl.DataFrame, origins: pl.DataFrame | None) -> pl.DataFrame | None:
    """File and line of samples, which may be rates. The origin of a rate is that of the count at its time."""
    if origins is None or rows.is_empty():
        return origins
    counts = origins.select("series_id", "ts", "file", "line")
    counts = counts.unique(["series_id", "ts"], keep="first", maintain_order=True)
    of_rates = rows.select(*SAMPLES).join(counts, on=["series_id", "ts"], maintain_order="left")
    return pl.concat([of_rates, origins.select(of_rates.columns)])


def _known_series(store: Store, batch: Batch) -> dict[int, Series]:
    """The series of the batch, and the stored series of samples that came without their series."""
    known = {series.series_id: series for series in batch.series}
    for frame in (batch.samples, batch.counts):
        if frame is not None:
            others = set(frame["series_id"].to_list()) - known.keys() - {None}
            if others:
                known.update({one: store.series.get(one) for one in store.series.known(list(others))})
    return known
