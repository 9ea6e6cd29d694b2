"""Sidecar files, which lie in a folder beside the metrics: `series.csv`, `events.csv` and `incidents.csv`.

series.csv     service, metric, unit, kind, role, limit, slo_threshold, step_s, and any label as a column;
               an empty field keeps the guessed value, and a row without a service (or with "*") is for all services
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
    """The content of the sidecar files; empty where there are none."""

    descriptions: Sequence[Row] = ()
    events: tuple[Event, ...] = ()
    incidents: tuple[Incident, ...] = ()
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))

    def describe(self, series: Series) -> Series:
        """The series with the values that `series.csv` declares; later rows have priority."""
        for row in self.descriptions:
            if _matches(row, series):
                series = _described(series, row)
        return series

    def added_to(self, batch: Batch) -> Batch:
        """The batch with the content of the sidecar files."""
        rejected = self.rejected if batch.rejected is None else pl.concat([batch.rejected, self.rejected])
        return replace(
            batch,
            series=tuple(self.describe(series) for series in batch.series),
            events=(*batch.events, *self.events),
            incidents=(*batch.incidents, *self.incidents),
            rejected=rejected,
        )

    @property
    def descriptions_only(self) -> "Sidecars":
        """For all batches but the first, because events, incidents and rejected rows go with the first one."""
        return Sidecars(descriptions=self.descriptions)


class DescribedSource:
    """A source to which sidecar files add what it does not know, such as limits (`core.ports.MetricSource`)."""

    def __init__(self, source: MetricSource, sidecars: Sidecars) -> None:
        self._source = source
        self._sidecars = sidecars

    @property
    def name(self) -> str:
        return self._source.name

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """The batches of the source; events and incidents of the sidecar files go with the first."""
        sidecars = self._sidecars
        for batch in self._source.batches(cursor):
            yield sidecars.added_to(batch)
            sidecars = self._sidecars.descriptions_only


def read_sidecars(folder: Path, tenant: str) -> Sidecars:
    """Read the sidecar files of a folder. An invalid row of events or incidents is rejected, and the others are read.

    Raises:
        InputError: the folder does not exist, or a row of `series.csv` is invalid. Each of its rows must be valid,
            because predictions depend on its limits.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    descriptions = [row for _, row in _rows(folder / "series.csv")]
    for row in descriptions:
        _described(Series(tenant=tenant, service="-", metric="-"), row)
    rejected: list[tuple[str, str]] = []
    events = tuple(_built(folder / "events.csv", lambda row: _event(row, tenant), rejected))
    incidents = tuple(_built(folder / "incidents.csv", lambda row: _incident(row, tenant), rejected))
    return Sidecars(
        descriptions=descriptions,
        events=events,
        incidents=incidents,
        rejected=pl.DataFrame(rejected, schema=REJECTED, orient="row"),
    )


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and fields of each row, names in lower case; nothing when the file does not exist."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, dict(zip(header, map(str.strip, row), strict=False))


def _built(path: Path, build: Callable[[Row], Item], rejected: list[tuple[str, str]]) -> Iterator[Item]:
    for line, row in _rows(path):
        try:
            yield build(row)
        except (InputError, ValueError, KeyError) as error:
            reason = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            rejected.append((json.dumps({"file": path.name, "line": line, **row}), f"line {line}: {reason}"))


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


def _matches(row: Row, series: Series) -> bool:
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
