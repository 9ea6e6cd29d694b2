"""Messages of JSON lines: each line is an object with one value of one series.

    {"ts": "2026-03-01T12:00:00Z", "service": "checkout", "metric": "latency_seconds", "value": 0.21,
     "unit": "s", "labels": {"route": "/pay"}}

The names of the fields, the notations of times and values, and the reasons of rejected lines are those of files
(`pipelines.sources.tables`).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from core.batch import Batch
from core.domain import Series, SeriesKind
from core.errors import InputError
from core.frames import SAMPLES
from core.metric_types import is_counter
from core.service_names import ServiceRule
from pipelines.sources.columns import METRIC_NAMES, TIME_NAMES, VALUE_NAMES, TableColumns
from pipelines.sources.dialect import FileChunk, Notation
from pipelines.sources.otlp_units import unit_of
from pipelines.sources.quantities import UNITS
from pipelines.sources.stepped_series import SteppedSeries
from pipelines.sources.tables import ParsedTable, TableNames, TableReader
from pipelines.sources.text_files import is_text
from pipelines.stores.dead_letters import REJECTED

#: Lines of one message. A producer that sends more should send several messages.
MAX_LINES = 50_000
#: A dead letter shows so many characters of a line.
_SHOWN_CHARS = 2_000
_MAX_SERIES = 20_000
_KINDS = ("counter", "gauge")
#: Columns that are no labels; no label can have such a name.
_TIME, _VALUE, _METRIC, _SERVICE = "\0time", "\0value", "\0metric", "\0service"
_ORIGIN = {"index": pl.Int64, "file": pl.String, "line": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line that is an object. Texts are as they came; "" is missing."""

    place: str
    number: int
    time: str
    value: str
    metric: str
    service: str
    labels: Mapping[str, str]


@dataclass(slots=True)
class JsonRequest:
    """The lines of some messages.

    Attributes:
        units: service and metric -> the unit that a line names and that `UNITS` does not know.
        rejected: row and reason of lines that are no object with one value.
    """

    lines: list[_Line] = field(default_factory=list)
    metric_types: dict[str, str] = field(default_factory=dict)
    units: dict[tuple[str, str], str] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    @property
    def metrics(self) -> set[str]:
        return {one.metric for one in self.lines}


class JsonReceiver(SteppedSeries):
    """Turns JSON lines of one tenant into batches."""

    name = "json"

    def __init__(self, tenant: str, services: ServiceRule) -> None:
        super().__init__(_MAX_SERIES)
        self._tenant = tenant
        self._services = services

    def read(self, body: bytes, place: str, request: JsonRequest) -> None:
        """Add the lines of one message to a request.

        Args:
            place: of the message, for dead letters.
        Raises:
            InputError: the message is no text or has too many lines.
        """
        try:
            # Not `splitlines`: texts in JSON may have other line ends than these.
            texts = body.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise InputError("the message is not encoded in UTF-8") from error
        if len(texts) > MAX_LINES:
            raise InputError(
                f"the message has {len(texts):,} lines; at most {MAX_LINES:,} are read. Send several messages"
            )
        if not any(text.strip() for text in texts):
            raise InputError("the message is empty")
        for number, text in enumerate(texts, start=1):
            if text.strip():
                try:
                    self._add(_object(text), place, number, request)
                except InputError as error:
                    row = {"message": place, "line": number, "text": text[:_SHOWN_CHARS]}
                    request.rejected.append((json.dumps(row), f"{place}, line {number}: {error}"))

    def batch(self, request: JsonRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request.

        Args:
            types: metric -> type, of all that is known of the metrics of the request.
        """

        def describe(series: Series) -> Series:
            unit = request.units.get((series.service, series.metric), series.unit)
            kind = series.kind
            if is_counter(series.metric, types):
                kind = SeriesKind.COUNTER
            elif kind is SeriesKind.COUNTER:
                kind = SeriesKind.GAUGE
            return replace(series, unit=unit, kind=kind)

        indexed = list(enumerate(request.lines))
        groups: dict[tuple[str, ...], list[tuple[int, _Line]]] = defaultdict(list)
        for index, line in indexed:
            groups[tuple(sorted(line.labels))].append((index, line))
        tables = []
        for labels, lines in groups.items():
            columns = TableColumns(time=_TIME, value=_VALUE, service=_SERVICE, metric=_METRIC, labels=labels)
            names = TableNames(tenant=self._tenant, file="", service="", metric="")
            reader = TableReader(columns, names, notation=Notation(), describe=describe)
            tables.append(reader.read(_chunk(lines, labels)))
        places = [(index, line.place, line.number) for index, line in indexed]
        return _batch(request, tables, pl.DataFrame(places, schema=_ORIGIN, orient="row"))

    def _add(self, fields: Mapping[str, object], place: str, number: int, request: JsonRequest) -> None:
        """Add one object.

        Raises:
            InputError: a field cannot be read.
        """
        time, value, metric = (_first(names, fields) for names in (TIME_NAMES, VALUE_NAMES, METRIC_NAMES))
        labels = dict(_labels(fields, {time, value, metric}))
        named = self._services.label_in(labels)
        line = _Line(
            place=place,
            number=number,
            time=_text(fields.get(time), time),
            value=_text(fields.get(value), value),
            metric=_text(fields.get(metric), metric).strip(),
            service="" if named is None else labels.pop(named).strip(),
            labels=labels,
        )
        if kind := _text(fields.get("kind"), "kind").lower():
            if kind not in _KINDS:
                raise InputError(f"kind '{kind}' is not {' or '.join(_KINDS)}; put a label into 'labels'")
            request.metric_types[line.metric] = kind
        if unit := _text(fields.get("unit"), "unit").strip():
            if unit in UNITS:
                line = replace(line, value=f"{line.value} {unit}" if line.value else "")
            else:
                request.units.setdefault((line.service, line.metric), unit_of(unit))
        request.lines.append(line)


def _object(text: str) -> Mapping[str, object]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the line is no JSON") from error
    if not isinstance(read, dict):
        raise InputError("the line is no JSON object")
    if "\\ud" in text.lower() and not is_text(json.dumps(read, ensure_ascii=False)):
        raise InputError("the line has half of a surrogate pair, which is no character")
    return read


def _first(names: Sequence[str], fields: Mapping[str, object]) -> str:
    """The first of the names that is a field, else the usual one."""
    return next((name for name in names if name in fields), names[0])


def _text(value: object, name: str) -> str:
    """A value as text, as a file would have it; "" for null."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise InputError(f"field '{name}' is a list or an object; only 'labels' may be an object")
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def _labels(fields: Mapping[str, object], roles: set[str]) -> Iterator[tuple[str, str]]:
    """The entries of `labels`, and every other field that has no role."""
    given = fields.get("labels") or {}
    if not isinstance(given, dict):
        raise InputError("field 'labels' is no object")
    others = {name: value for name, value in fields.items() if name not in {*roles, "labels", "unit", "kind"}}
    for name, value in {**others, **given}.items():
        if name.startswith("\0"):
            raise InputError("the name of a label contains NUL")
        if text := _text(value, name):
            yield name, text


def _chunk(lines: Sequence[tuple[int, _Line]], labels: Sequence[str]) -> FileChunk:
    columns: dict[str, list[str]] = {
        _TIME: [line.time for _, line in lines],
        _VALUE: [line.value for _, line in lines],
        _METRIC: [line.metric for _, line in lines],
        _SERVICE: [line.service for _, line in lines],
        **{name: [line.labels[name] for _, line in lines] for name in labels},
    }
    return FileChunk(
        pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)),
        pl.Series([index for index, _ in lines], dtype=pl.Int64),
        pl.Series([None] * len(lines), dtype=pl.String),
        end=0,
    )


def _batch(request: JsonRequest, tables: Sequence[ParsedTable], places: pl.DataFrame) -> Batch:
    """One batch of all tables, whose lines become places in messages."""
    empty = ParsedTable()
    samples = pl.concat([empty.samples, *(one.samples for one in tables)])
    counts = pl.concat([empty.counts, *(one.counts for one in tables)])
    origins = pl.concat([samples, counts]).rename({"line": "index"}).join(places, on="index", how="left")
    rejected = [_placed(row, request.lines) for one in tables for row, _ in one.rejected.iter_rows()]
    reasons = [reason.partition(": ")[2] for one in tables for reason in one.rejected["reason"]]
    refused = [
        (json.dumps(row), f"{row['message']}, line {row['line']}: {reason}")
        for row, reason in zip(rejected, reasons, strict=True)
    ]
    return Batch(
        series=tuple({one.series_id: one for table in tables for one in table.series}.values()),
        samples=samples.select(*SAMPLES),
        counts=counts.select(*SAMPLES),
        metric_types=request.metric_types,
        origins=origins.select(*SAMPLES, "file", "line"),
        rejected=pl.DataFrame([*request.rejected, *refused], schema=REJECTED, orient="row"),
    )


def _placed(row: str, lines: Sequence[_Line]) -> dict[str, object]:
    """A rejected row of a table with the place of its message in place of file and index."""
    read = json.loads(row)
    line = lines[read.pop("line")]
    del read["file"]
    return {"message": line.place, "line": line.number, **read}
