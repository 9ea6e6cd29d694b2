"""What a source of metrics hands over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from core.alert_changes import AlertChange
from core.contradictions import Contradiction
from core.domain import Direction, Event, Incident, Role, Series, SeriesKind, ServiceEdges
from core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A row of `series.csv`: facts about the series that match it.

    Attributes:
        line: in the file.
        service: null: any; so is `metric`.
        labels: that a series must have.
        facts: name and text of each declared field.
    """

    line: int
    service: str | None
    metric: str | None
    labels: Mapping[str, str]
    facts: Mapping[str, str]

    def matches(self, series: Series) -> bool:
        """Whether the facts are about that series."""
        return (
            self.service in {None, series.service}
            and self.metric in {None, series.metric}
            and all(series.labels.get(name) == value for name, value in self.labels.items())
        )

    def describe(self, series: Series) -> Series:
        """The series with these facts.

        Raises:
            InputError: a fact is not valid; the text names it.
        """
        facts = self.facts
        try:
            return replace(
                series,
                unit=facts.get("unit") or series.unit,
                kind=SeriesKind(facts["kind"].lower()) if "kind" in facts else series.kind,
                role=Role(facts["role"].lower()) if "role" in facts else series.role,
                limit=float(facts["limit"]) if "limit" in facts else series.limit,
                slo_threshold=float(facts["slo_threshold"])
                if "slo_threshold" in facts
                else series.slo_threshold,
                step_s=int(facts["step_s"]) if "step_s" in facts else series.step_s,
                direction=Direction(facts["direction"].lower()) if "direction" in facts else series.direction,
            )
        except ValueError as error:
            name = f"{self.service or '*'}/{self.metric or '*'}"
            raise InputError(f"series.csv, line {self.line}, {name}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a source hands over at once.

    Attributes:
        series: every series of `samples` and `counts`.
        samples: `core.frames.SAMPLES`, in any order, possibly with duplicates.
        counts: the same of counters, whose values are counts. Rates are computed when the batch is stored, from the
            counts that are stored. A source that knows the rates gives them as `samples`.
        created: since when counters count: series_id and ts of a count, and `created`, a time before it.
        histograms: `core.frames.HISTOGRAMS`: cumulative native histograms; their quantiles are computed when it is
            stored.
        ends: series_id and ts: from then on a series has no values, because its sender ended it.
        metric_types: metric -> the type that the source declares: counter, gauge, histogram, summary, ...
        origins: where samples and counts were read: `SAMPLES`, `file` and `line`; null where the source has no files.
        rejected: columns `row` (the input as JSON text) and `reason`.
        alert_changes: starts and ends of alerts whose sender does not send both together.
        calls: which service calls which: (caller, callee).
        declarations: what was declared about series; those that match no series are reported.
        contradictions: what `series.csv` declares otherwise than the source; the source is filled in when stored.
        notes: what people must know, such as files that were skipped.
        already_read: samples and counts that an earlier ingest has read, and that are not in this batch.
        cursor: what the source needs to go on after this batch; stored in the batch's own transaction.
    """

    series: Sequence[Series] = ()
    samples: pl.DataFrame | None = None
    counts: pl.DataFrame | None = None
    created: pl.DataFrame | None = None
    histograms: pl.DataFrame | None = None
    ends: pl.DataFrame | None = None
    metric_types: Mapping[str, str] = field(default_factory=dict)
    origins: pl.DataFrame | None = None
    rejected: pl.DataFrame | None = None
    events: Sequence[Event] = ()
    incidents: Sequence[Incident] = ()
    alert_changes: Sequence[AlertChange] = ()
    calls: ServiceEdges = ()
    declarations: Sequence[Declaration] = ()
    contradictions: Sequence[Contradiction] = ()
    notes: Sequence[str] = ()
    already_read: int = 0
    cursor: str | None = None
