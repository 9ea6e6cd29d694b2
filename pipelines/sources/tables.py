"""Reads tables of three common shapes: they become series, samples and rejected rows.

The names of the columns, in any letter case, tell the shape (`pipelines.sources.columns`):

    one series   timestamp, value                      service and metric come from the name of the file
    long         timestamp, value, metric, service...  each further column is a label
    wide         timestamp, one column per metric      service comes from a `service` column, else from the file name
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import polars as pl

from core.domain import DEFAULT_STEP_S, MAX_STEP_S, Series, SeriesKind
from core.errors import InputError
from core.frames import SAMPLES
from core.metric_names import guess_metric
from pipelines.sources.columns import TableColumns
from pipelines.sources.dialect import FileChunk, Notation
from pipelines.sources.quantities import MISSING, DecimalMark, is_in_other_notation, read_quantities
from pipelines.sources.times import as_text, parse_times
from pipelines.stores.dead_letters import REJECTED

#: Adds to a series what is declared elsewhere (`series.csv`).
Describe = Callable[[Series], Series]
#: Service, metric and labels.
Key = tuple[str, ...]

#: Samples, and the line of each in its file.
READ = {**SAMPLES, "line": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTable:
    """The content of one chunk.

    Attributes:
        samples: `READ`; those of counters are in `counts`.
        rejected: columns `row` (the input as JSON text) and `reason`.
    """

    series: Sequence[Series] = ()
    samples: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=READ))
    counts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=READ))
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))

    @property
    def found(self) -> int:
        """How many samples and counts there are."""
        return self.samples.height + self.counts.height


@dataclass(frozen=True, slots=True, kw_only=True)
class TableNames:
    """Names that the rows of a file do not tell.

    Attributes:
        file: name of the file in dead letters.
        service: for rows without a service column.
        metric: for rows without a metric column.
    """

    tenant: str
    file: str
    service: str
    metric: str


class TableReader:
    """Reads the chunks of one file, in order.

    Args:
        describe: adds to a series what is declared elsewhere.
    """

    def __init__(
        self, columns: TableColumns, names: TableNames, *, notation: Notation, describe: Describe
    ) -> None:
        self._columns = columns
        self._names = names
        self._notation = notation
        self._describe = describe
        self._keys = ["_service", "_metric", *(f"_label_{n}" for n in range(len(columns.labels)))]
        self._known: dict[Key, Series] = {}
        self._invalid: dict[Key, str] = {}
        self._units: dict[Key, str] = {}
        self._stepped: set[Key] = set()

    def read(self, chunk: FileChunk) -> ParsedTable:
        """The content of one chunk."""
        rows = self._long(chunk)
        checked = rows.with_columns(_reason=_reason(self._notation.decimal))
        bad, good = (
            checked.filter(pl.col("_reason").is_not_null()),
            checked.filter(pl.col("_reason").is_null()),
        )
        found = good.group_by(self._keys, maintain_order=True).agg(pl.col("_unit").drop_nulls().first())
        for *key, unit in found.iter_rows():
            self._learn_series(tuple(key), unit)
        ids = [self._known[key].series_id if key in self._known else None for key in self._found(found)]
        good = good.join(
            found.drop("_unit").with_columns(
                series_id=pl.Series(ids, dtype=pl.Int64),
                _series_unit=pl.Series([self._units.get(key) for key in self._found(found)], dtype=pl.String),
                _problem=pl.Series([self._invalid.get(key) for key in self._found(found)], dtype=pl.String),
            ),
            on=self._keys,
            nulls_equal=True,
            maintain_order="left",
        ).with_columns(_reason=self._reason_of_series())
        rejected = [bad, good.filter(pl.col("_reason").is_not_null())]
        good = good.filter(pl.col("_reason").is_null()).with_columns(ts="_ts", value="_value")
        self._learn_steps(found, good)
        series = [self._known[key] for key in self._found(found) if key in self._known]
        is_count = pl.col("series_id").is_in(
            [one.series_id for one in series if one.kind is SeriesKind.COUNTER]
        )
        frames = [_rejected(frame, self._names.file) for frame in rejected if not frame.is_empty()]
        return ParsedTable(
            series=series,
            samples=good.filter(~is_count).select(*READ),
            counts=good.filter(is_count).select(*READ),
            rejected=pl.concat(frames) if frames else pl.DataFrame(schema=REJECTED),
        )

    def _found(self, found: pl.DataFrame) -> list[Key]:
        return [tuple(key) for key in found.select(self._keys).iter_rows()]

    def _long(self, chunk: FileChunk) -> pl.DataFrame:
        """One row for each value: line, _problem, _service, _metric, _label_n, _time, _text, _ts, _value, _unit."""
        columns, table = self._columns, chunk.table
        time = _text(table[columns.time])
        if columns.date is not None:
            time = _text(table[columns.date]) + " " + time
        typed = table[columns.time] if columns.date is None else time
        base = pl.DataFrame(
            {
                "line": chunk.lines,
                "_bad": chunk.problems,
                "_ts": parse_times(typed, self._notation.date_order),
                "_time": time,
                "_service": _names(table, columns.service, self._names.service),
                **{f"_label_{n}": _labels(table, name) for n, name in enumerate(columns.labels)},
            }
        )
        if columns.value is not None:
            metric = _names(table, columns.metric, self._names.metric)
            return _with_values(base, metric, table[columns.value], self._notation)
        parts = [
            self._of_metrics(base, table.select(names), is_first=names[0] == columns.metrics[0])
            for names in _same_type(table, columns.metrics)
        ]
        return pl.concat(parts)

    def _of_metrics(self, base: pl.DataFrame, table: pl.DataFrame, *, is_first: bool) -> pl.DataFrame:
        """The long form of some columns of a wide table that have one type, one after the other.

        Args:
            is_first: whether the first column is the first metric of the file.
        """
        names = pl.DataFrame({"_metric": [name.strip() for name in table.columns]})
        metric = names.select(pl.col("_metric").repeat_by(table.height).explode(empty_as_null=False))[
            "_metric"
        ]
        values = pl.concat([column.alias("values") for column in table.iter_columns()])
        part = _with_values(pl.concat([base] * table.width), metric, values, self._notation)
        # An empty cell of a wide table means that the metric was not measured at that time.
        missing = pl.col("_text").is_null() | pl.col("_text").str.to_lowercase().is_in(list(MISSING))
        # A row that cannot be read is one dead letter, not one for each metric.
        is_reported = pl.lit(is_first) & (pl.int_range(pl.len()) < table.height)
        return part.filter(pl.when(pl.col("_bad").is_null()).then(~missing).otherwise(is_reported))

    def _learn_series(self, key: Key, unit: str | None) -> None:
        if key in self._known or key in self._invalid:
            return
        service, metric, *labels = key
        pairs = zip(self._columns.labels, labels, strict=True)
        guess = guess_metric(metric)
        is_percent = unit == "%" and guess.kind is SeriesKind.RATIO
        try:
            series = Series(
                tenant=self._names.tenant,
                service=service,
                metric=metric,
                labels={name: label for name, label in pairs if label},
                unit=guess.unit if unit is None else unit,
                kind=SeriesKind.GAUGE if is_percent else guess.kind,
                role=guess.role,
            )
        except InputError as error:
            self._invalid[key] = str(error)
            return
        described = self._describe(series)
        if described.kind is SeriesKind.COUNTER:
            described = replace(
                described, unit=f"{described.unit}/s".lstrip("/") if described.unit else "1/s"
            )
        self._known[key] = described
        if unit is not None:
            self._units[key] = unit

    def _reason_of_series(self) -> pl.Expr:
        """Why a row does not fit to its series; null when it does."""
        counters = [series.series_id for series in self._known.values() if series.kind is SeriesKind.COUNTER]
        unit, expected, text = pl.col("_unit"), pl.col("_series_unit"), pl.col("_text")
        return (
            pl.when(pl.col("_problem").is_not_null())
            .then(pl.col("_problem"))
            .when(unit.is_not_null() & expected.is_null())
            .then(pl.format("value '{}' has a unit, and the first values of the series have none", text))
            .when(unit.is_not_null() & (unit != expected))
            .then(pl.format("value '{}' is not in {}, the unit of the series", text, expected))
            .when(unit.is_null() & expected.is_not_null() & (pl.col("_value") != 0))
            .then(pl.format("value '{}' has no unit, and the series is in {}", text, expected))
            .when(pl.col("series_id").is_in(counters) & (pl.col("_value") < 0))
            .then(pl.format("value {} is below 0, and a counter never falls", text))
            .otherwise(None)
        )

    def _learn_steps(self, found: pl.DataFrame, samples: pl.DataFrame) -> None:
        """Set the step of a series from the first chunk with two samples of it, unless `describe` has set it."""
        steps = dict(median_steps(samples).iter_rows())
        for key in self._found(found):
            if key not in self._known:
                continue
            series = self._known[key]
            step_s = steps.get(series.series_id)
            if series.step_s == DEFAULT_STEP_S and step_s is not None and key not in self._stepped:
                self._stepped.add(key)
                self._known[key] = replace(series, step_s=step_s)


def median_steps(samples: pl.DataFrame) -> pl.DataFrame:
    """series_id and step_s (the median spacing in whole seconds) of each series with at least two samples."""
    return (
        samples.select("series_id", "ts")
        .sort("series_id", "ts")
        .with_columns(gap=pl.col("ts").diff().over("series_id").dt.total_microseconds() / 1e6)
        .filter(pl.col("gap") > 0)
        .group_by("series_id")
        .agg(step_s=pl.col("gap").median().round().cast(pl.Int64))
        .with_columns(pl.col("step_s").clip(1, MAX_STEP_S))
    )


def _same_type(table: pl.DataFrame, names: Sequence[str]) -> list[list[str]]:
    """Neighbouring columns of one type together."""
    schema = table.schema
    return [list(group) for _, group in groupby(names, key=lambda name: schema[name])]


def _text(column: pl.Series) -> pl.Series:
    """The cells as stripped text."""
    return as_text(column).str.strip_chars()


def _names(table: pl.DataFrame, column: str | None, otherwise: str) -> pl.Series:
    if column is None:
        return pl.Series("name", [otherwise], dtype=pl.String).new_from_index(0, table.height)
    return _text(table[column])


def _labels(table: pl.DataFrame, column: str) -> pl.Series:
    """Labels stay as they are, with their blanks."""
    return as_text(table[column])


def _with_values(
    base: pl.DataFrame, metric: pl.Series, column: pl.Series, notation: Notation
) -> pl.DataFrame:
    quantities = read_quantities(column, notation.decimal)
    return base.with_columns(
        metric.alias("_metric"),
        _text(column).alias("_text"),
        quantities["value"].alias("_value"),
        quantities["unit"].alias("_unit"),
    )


def _rejected(bad: pl.DataFrame, file: str) -> pl.DataFrame:
    rows = [
        json.dumps({"file": file, "line": line, "time": time, "metric": metric, "value": text})
        for line, time, metric, text in bad.select("line", "_time", "_metric", "_text").iter_rows()
    ]
    reason = pl.format("line {}: {}", "line", "_reason")
    return pl.DataFrame({"row": rows, "reason": bad.select(reason).to_series()}, schema=REJECTED)


def _reason(decimal: DecimalMark) -> pl.Expr:
    """The first error in a row of the long form, with the column and the text; null when there is none."""
    other = DecimalMark.COMMA if decimal is DecimalMark.POINT else DecimalMark.POINT
    in_other = (
        f"value '{{}}' is no number with the decimal mark '{decimal}'; --decimal {other} reads such numbers"
    )
    time, text = pl.col("_time").fill_null(""), pl.col("_text").fill_null("")
    return (
        pl.when(pl.col("_bad").is_not_null())
        .then(pl.col("_bad"))
        .when(pl.col("_service").fill_null("") == "")
        .then(pl.lit("service is missing"))
        .when(pl.col("_metric").fill_null("") == "")
        .then(pl.lit("metric is missing"))
        .when(time == "")
        .then(pl.lit("time is missing"))
        .when(pl.col("_ts").is_null())
        .then(pl.format("time '{}' is not a time", time))
        .when(text == "")
        .then(pl.lit("value is missing"))
        .when(pl.col("_value").is_null() & is_in_other_notation(decimal))
        .then(pl.format(in_other, text))
        .when(pl.col("_value").is_null())
        .then(pl.format("value '{}' is not a number", text))
        .when(~pl.col("_value").is_finite())
        .then(pl.format("value '{}' is not a finite number", text))
        .otherwise(None)
    )
