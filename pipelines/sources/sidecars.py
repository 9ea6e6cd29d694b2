"""Sidecar files, which lie in a folder beside the metrics: `series.csv`, `events.csv` and `incidents.csv`.

series.csv     service, metric, unit, kind, role, limit, slo_threshold, step_s, direction (up_is_bad, down_is_bad,
               both), and any label as a column;
               an empty field keeps the guessed value, and a row without a service (or with "*") is for all services
events.csv     service, kind (deploy, config_change, maintenance, holiday), at, until, title, version; of a holiday
               at is its date, until the first date after it
incidents.csv  service, type, severity (info, warning, critical), start, end
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import polars as pl

from core.batch import Batch, Declaration
from core.contradictions import Contradiction
from core.domain import Direction, Event, EventKind, Incident, Series, SeriesKind, Severity
from core.errors import InputError
from core.frames import stacked
from core.ports import MetricSource
from pipelines.sources.csv_format import CsvFormat
from pipelines.sources.dialect import FileOptions
from pipelines.sources.times import parse_times
from pipelines.stores.dead_letters import REJECTED

_logger = logging.getLogger("forewarn.sidecars")

SIDECARS = ("series.csv", "events.csv", "incidents.csv")

_FACTS = ("unit", "kind", "role", "limit", "slo_threshold", "step_s", "direction")
_EVENT_FIELDS = ("service", "kind", "at", "until", "title", "version")
_INCIDENT_FIELDS = ("service", "type", "severity", "start", "end")

Row = Mapping[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """The content of the sidecar files; empty where there are none."""

    declarations: Sequence[Declaration] = ()
    events: tuple[Event, ...] = ()
    incidents: tuple[Incident, ...] = ()
    notes: tuple[str, ...] = ()
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))

    def describe(self, series: Series) -> Series:
        """The series with the values that `series.csv` declares; later rows have priority."""
        for declaration in self.declarations:
            if declaration.matches(series):
                series = declaration.describe(series)
        return series

    def added_to(self, batch: Batch) -> Batch:
        """The batch with the content of the sidecar files.

        Its source has read each series as a counter or not, so that a declared kind cannot change that any more.
        """
        rejected = self.rejected if batch.rejected is None else stacked([batch.rejected, self.rejected])
        described = [with_kind_as_read(series, self.describe(series)) for series in batch.series]
        kinds = dict.fromkeys(note for _, note in described if note)
        return replace(
            batch,
            series=tuple(series for series, _ in described),
            events=(*batch.events, *self.events),
            incidents=(*batch.incidents, *self.incidents),
            rejected=rejected,
            declarations=self.declarations,
            contradictions=(*batch.contradictions, *self._contradictions(batch.series)),
            notes=(*batch.notes, *self.notes, *kinds),
        )

    def _contradictions(self, series: Sequence[Series]) -> list[Contradiction]:
        """Kinds and units that `series.csv` declares otherwise than the source, once for each metric."""
        found: dict[tuple[str, str], Contradiction] = {}
        for one in series:
            declared = self.describe(one)
            is_counter = SeriesKind.COUNTER
            if (one.kind is is_counter) is not (declared.kind is is_counter):
                found[one.metric, "kind"] = _contradiction(one, "kind", one.kind, declared.kind)
            if one.unit and declared.unit != one.unit:
                found[one.metric, "unit"] = _contradiction(one, "unit", one.unit, declared.unit)
        return list(found.values())

    @property
    def descriptions_only(self) -> "Sidecars":
        """For all batches but the first, because events, incidents and rejected rows go with the first one."""
        return Sidecars(declarations=self.declarations)


def with_kind_as_read(series: Series, described: Series) -> tuple[Series, str]:
    """The described series as counter or no counter as it was read, and a note if it is declared otherwise, else ""."""
    if (series.kind is SeriesKind.COUNTER) is (described.kind is SeriesKind.COUNTER):
        return described, ""
    note = (
        f"series.csv: the kind '{described.kind}' of {series.metric} is not used, because its source reads it as a"
        f" {series.kind}; correct the type at the source"
    )
    return replace(described, kind=series.kind, unit=series.unit), note


def _contradiction(series: Series, field: str, value: str, declared: str) -> Contradiction:
    return Contradiction(
        metric=series.metric,
        field=field,
        source="",
        value=value,
        other_source="series.csv",
        other_value=declared,
    )


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


class CurrentSidecars:
    """The sidecar files of a folder as they are now, for a process that runs for a long time.

    They are read again when one of them has changed. A change that cannot be read is logged, and the content before it
    stays: what Prometheus pushes must not be refused because of it.

    Args:
        folder: null: there are no sidecar files.
    Raises:
        InputError: see `read_sidecars`.
    """

    def __init__(self, folder: Path | None, tenant: str) -> None:
        self._folder = folder
        self._tenant = tenant
        self._state = self._files()
        self._content = Sidecars() if folder is None else read_sidecars(folder, tenant)

    def get(self) -> Sidecars:
        """The content; a look at the folder costs some microseconds."""
        if self._folder is not None and (state := self._files()) != self._state:
            self._state = state
            try:
                self._content = read_sidecars(self._folder, self._tenant)
            except (InputError, OSError) as error:
                _logger.warning("the changed sidecar files of %s are not used: %s", self._folder, error)
        return self._content

    def _files(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each file."""
        if self._folder is None:
            return ()
        found = []
        for name in SIDECARS:
            try:
                stat = (self._folder / name).stat()
            except OSError:
                continue
            found.append((name, stat.st_size, stat.st_mtime_ns))
        return tuple(found)


def read_sidecars(folder: Path, tenant: str) -> Sidecars:
    """Read the sidecar files of a folder. An invalid row of events or incidents is rejected, and the others are read.

    Raises:
        InputError: the folder does not exist, or a row of `series.csv` is invalid. Each of its rows must be valid,
            because predictions depend on its limits.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    rejected: list[tuple[str, str]] = []
    notes: list[str] = []
    events, incidents = folder / "events.csv", folder / "incidents.csv"
    return Sidecars(
        declarations=_declarations(folder / "series.csv", tenant),
        events=tuple(_built(events, lambda row: _event(row, tenant), _EVENT_FIELDS, rejected, notes)),
        incidents=tuple(
            _built(incidents, lambda row: _incident(row, tenant), _INCIDENT_FIELDS, rejected, notes)
        ),
        rejected=pl.DataFrame(rejected, schema=REJECTED, orient="row"),
        notes=tuple(notes),
    )


def _declarations(path: Path, tenant: str) -> tuple[Declaration, ...]:
    """The rows of `series.csv`. A column that is no field is a label."""
    found = []
    for line, row, problem in _rows(path):
        if problem:
            raise InputError(f"{path.name}, line {line}: {problem}")
        declaration = Declaration(
            line=line,
            service=row.get("service", "").replace("*", "") or None,
            metric=row.get("metric", "").replace("*", "") or None,
            labels={
                name: cell
                for name, cell in row.items()
                if cell and name not in {"service", "metric"} and not _is_fact(name, cell)
            },
            facts={name: row[name] for name in _FACTS if row.get(name) and _is_fact(name, row[name])},
        )
        declaration.describe(Series(tenant=tenant, service="-", metric="-"))
        found.append(declaration)
    return tuple(found)


def _is_fact(name: str, cell: str) -> bool:
    """Whether a cell declares a fact. `direction` is also a usual label, with values such as `receive`."""
    return name in _FACTS and (name != "direction" or cell.lower() in set(Direction))


def _rows(path: Path) -> Iterator[tuple[int, Row, str | None]]:
    """Line number, fields and problem of each row, names in lower case; nothing when the file does not exist."""
    if not path.is_file():
        return
    try:
        for chunk in CsvFormat(FileOptions(is_complete=True)).chunks(path):
            names = [name.strip().lower() for name in chunk.table.columns]
            rows = zip(chunk.lines, chunk.table.iter_rows(), chunk.problems, strict=True) if names else ()
            for line, cells, problem in rows:
                yield (
                    line,
                    {name: (cell or "").strip() for name, cell in zip(names, cells, strict=True)},
                    problem,
                )
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _built(
    path: Path,
    build: Callable[[Row], Item],
    fields: Sequence[str],
    rejected: list[tuple[str, str]],
    notes: list[str],
) -> Iterator[Item]:
    """What the rows of a file describe; rows that describe nothing go to `rejected`, unknown columns to `notes`."""
    try:
        for line, row, problem in _rows(path):
            for name in row.keys() - set(fields):
                note = f"{path.name}: the column '{name}' is not read; the columns are {', '.join(fields)}"
                notes += [] if note in notes else [note]
            try:
                if problem:
                    raise InputError(problem)
                yield build(row)
            except (InputError, ValueError, KeyError) as error:
                reason = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
                rejected.append(
                    (json.dumps({"file": path.name, "line": line, **row}), f"line {line}: {reason}")
                )
    except InputError as error:
        rejected.append((json.dumps({"file": path.name}), str(error)))


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
