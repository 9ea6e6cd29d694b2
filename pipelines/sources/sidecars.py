"""What may lie in a folder beside the metrics: `series.csv`, `events.csv` and `incidents.csv`.

series.csv     service, metric, unit, kind, role, limit, slo_threshold, step_s, and any label as a column;
               what is empty stays as guessed, and a row without a service (or with "*") is for all of them
events.csv     service, kind (deploy, config_change, maintenance, holiday), at, until, title, version; of a holiday
               at is its date, until the first date after it
incidents.csv  service, type, severity (info, warning, critical), start, end
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import polars as pl

from core.domain import Event, EventKind, Incident, Role, Series, SeriesKind, Severity
from core.errors import InputError
from core.ports import Batch, MetricSource
from pipelines.sources.times import parse_times
from pipelines.stores.dead_letters import REJECTED

SIDECARS = ("series.csv", "events.csv", "incidents.csv")

Row = Mapping[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """What the side files say; empty where there are none."""

    descriptions: Sequence[Row] = ()
    events: tuple[Event, ...] = ()
    incidents: tuple[Incident, ...] = ()
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))

    def describe(self, series: Series) -> Series:
        """The series with what `series.csv` says of it; later rows add to earlier ones."""
        for row in self.descriptions:
            if _speaks_of(row, series):
                series = _described(series, row)
        return series

    def added_to(self, batch: Batch) -> Batch:
        """The batch with all that the side files say."""
        refused = self.rejected if batch.rejected is None else pl.concat([batch.rejected, self.rejected])
        return replace(
            batch,
            series=tuple(self.describe(series) for series in batch.series),
            events=(*batch.events, *self.events),
            incidents=(*batch.incidents, *self.incidents),
            rejected=refused,
        )

    def once(self, told: bool) -> "Sidecars":
        """Events, incidents and refused rows go with the first batch only."""
        return Sidecars(descriptions=self.descriptions) if told else self


class DescribedSource:
    """A source that knows less than its users: what side files say is added to it (`core.ports.MetricSource`)."""

    def __init__(self, source: MetricSource, sidecars: Sidecars) -> None:
        self._source = source
        self._sidecars = sidecars

    @property
    def name(self) -> str:
        return self._source.name

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """Those of the source; what the side files tell of events goes with the first."""
        for number, batch in enumerate(self._source.batches(cursor)):
            yield self._sidecars.once(number > 0).added_to(batch)


def read_sidecars(folder: Path, tenant: str) -> Sidecars:
    """Read the side files of a folder; rows of events and incidents that make no sense are refused one by one.

    Raises:
        InputError: there is no such folder, or `series.csv` contradicts itself: what it says is asked for and
            so must be right.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    descriptions = [row for _, row in _rows(folder / "series.csv")]
    for row in descriptions:
        _described(Series(tenant=tenant, service="-", metric="-"), row)
    refused: list[tuple[str, str]] = []
    events = tuple(_built(folder / "events.csv", lambda row: _event(row, tenant), refused))
    incidents = tuple(_built(folder / "incidents.csv", lambda row: _incident(row, tenant), refused))
    rejected = pl.DataFrame(refused, schema=REJECTED, orient="row")
    return Sidecars(descriptions=descriptions, events=events, incidents=incidents, rejected=rejected)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and fields of each row, names in lower case; nothing when there is no such file."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, dict(zip(header, map(str.strip, row), strict=False))


def _built(path: Path, build: Callable[[Row], Item], refused: list[tuple[str, str]]) -> Iterator[Item]:
    for line, row in _rows(path):
        try:
            yield build(row)
        except (InputError, ValueError, KeyError) as error:
            reason = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            refused.append((json.dumps({"file": path.name, "line": line, **row}), f"line {line}: {reason}"))


def _event(row: Row, tenant: str) -> Event:
    return Event(
        tenant=tenant,
        service=row.get("service") or "*",
        kind=EventKind(row["kind"].lower()),
        at=_time(row["at"], "at"),
        until=_time(row["until"], "until") if row.get("until") else None,
        title=row.get("title", ""),
        version=row.get("version", ""),
    )


def _incident(row: Row, tenant: str) -> Incident:
    if not row["service"]:
        raise InputError("service is missing")
    return Incident(
        tenant=tenant,
        service=row["service"],
        type=row["type"],
        severity=Severity(row["severity"].lower()),
        start=_time(row["start"], "start"),
        end=_time(row["end"], "end") if row.get("end") else None,
    )


def _time(text: str, name: str) -> datetime:
    parsed: datetime | None = parse_times(pl.Series([text]))[0]
    if parsed is None:
        raise InputError(f"{name} '{text}' is not a time")
    return parsed.astimezone(UTC)


_FIELDS = frozenset({"service", "metric", "unit", "kind", "role", "limit", "slo_threshold", "step_s"})


def _speaks_of(row: Row, series: Series) -> bool:
    labels = {name: value for name, value in row.items() if name not in _FIELDS and value}
    return (
        row.get("service", "") in {"", "*", series.service}
        and row.get("metric", "") in {"", "*", series.metric}
        and all(series.labels.get(name) == value for name, value in labels.items())
    )


def _described(series: Series, row: Row) -> Series:
    try:
        return replace(
            series,
            unit=row.get("unit") or series.unit,
            kind=SeriesKind(row["kind"].lower()) if row.get("kind") else series.kind,
            role=Role(row["role"].lower()) if row.get("role") else series.role,
            limit=float(row["limit"]) if row.get("limit") else series.limit,
            slo_threshold=float(row["slo_threshold"]) if row.get("slo_threshold") else series.slo_threshold,
            step_s=int(row["step_s"]) if row.get("step_s") else series.step_s,
        )
    except ValueError as error:
        raise InputError(
            f"series.csv, {row.get('service', '*')}/{row.get('metric', '*')}: {error}"
        ) from error
