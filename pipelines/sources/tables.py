"""Reads tables of three common shapes: they become series, samples and rejected rows.

The names of the columns, in any letter case, tell the shape:

    one series   timestamp, value                      service and metric come from the name of the file
    long         timestamp, value, metric, service...  each further column is a label
    wide         timestamp, one column per metric      service comes from a `service` column, else from the file name
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.errors import InputError
from core.metric_names import guess_metric
from core.service_names import SERVICE_LABELS, ServiceRule
from pipelines.sources.counters import CounterRates
from pipelines.sources.times import parse_times
from pipelines.stores.dead_letters import REJECTED

TIME_NAMES = ("timestamp", "time", "ts", "datetime", "date", "ds", "at", "period", "@timestamp", "epoch")
VALUE_NAMES = ("value", "val", "y")
METRIC_NAMES = ("metric", "metric_name", "__name__", "name")
#: A column `instance` does not name the service, because the name of the file does.
SERVICE_COLUMNS = ServiceRule(tuple(label for label in SERVICE_LABELS if label != "instance"))

#: Adds to a series what is declared elsewhere (`series.csv`).
Describe = Callable[[Series], Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """The roles of the columns; `metrics` are the columns of a wide table."""

    time: str
    value: str | None
    service: str | None
    metric: str | None
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTable:
    """The content of one table."""

    series: Sequence[Series]
    samples: pl.DataFrame
    rejected: pl.DataFrame


def find_columns(columns: Sequence[str]) -> TableColumns:
    """The roles of the columns of a table, by their names.

    Raises:
        InputError: no column is a time, or there is no other column.
    """
    by_name = {column.strip().lower(): column for column in reversed(columns)}

    def first(names: Sequence[str]) -> str | None:
        return next((by_name[name] for name in names if name in by_name), None)

    time, value, metric = first(TIME_NAMES), first(VALUE_NAMES), first(METRIC_NAMES)
    if time is None:
        raise InputError(
            f"no column has the name of a time ({', '.join(TIME_NAMES)}); the columns are {', '.join(columns)}"
        )
    named = SERVICE_COLUMNS.label_in(dict.fromkeys(by_name, "given"))
    service = None if named is None else by_name[named]
    others = tuple(column for column in columns if column not in {time, value, service, metric})
    if value is None:
        wide = (*others, *([metric] if metric is not None else []))
        if not wide:
            raise InputError(f"the table has no column of values, only {time!r}")
        return TableColumns(time=time, value=None, service=service, metric=None, metrics=wide)
    # without a metric column, further columns can be anything (flags, comments), but they are no labels
    labels = others if metric is not None else ()
    return TableColumns(time=time, value=value, service=service, metric=metric, labels=labels)


class TableReader:
    """Reads the chunks of one file, in order.

    Args:
        file: name of the file in dead letters.
        service: for rows without a service column.
        metric: for rows without a metric column.
        describe: adds to a series what is declared elsewhere.
    """

    def __init__(
        self, columns: TableColumns, *, tenant: str, file: str, service: str, metric: str, describe: Describe
    ) -> None:
        self._columns = columns
        self._tenant = tenant
        self._file = file
        self._service = service
        self._metric = metric
        self._describe = describe
        self._known: dict[tuple[str, ...], Series] = {}
        self._stepped: set[tuple[str, ...]] = set()
        self._counters = CounterRates()

    def read(self, table: pl.DataFrame) -> ParsedTable:
        """The content of one chunk; `table` has the file's columns and `line`, the number of each row."""
        rows = self._long(table)
        keys = ["_service", "_metric", *(f"_label_{n}" for n in range(len(self._columns.labels)))]
        reason = _reason()
        checked = rows.with_columns(_reason=reason)
        rejected = self._rejected(checked.filter(pl.col("_reason").is_not_null()))
        good = checked.filter(pl.col("_reason").is_null())
        found = good.select(keys).unique(maintain_order=True)
        ids = [self._series_of(key).series_id for key in found.iter_rows()]
        samples = good.join(
            found.with_columns(series_id=pl.Series(ids, dtype=pl.Int64)), on=keys, nulls_equal=True
        ).select("series_id", ts="_ts", value="_value")
        self._learn_steps(found, samples)
        series = [self._series_of(key) for key in found.iter_rows()]
        return ParsedTable(series=series, samples=self._rates(series, samples), rejected=rejected)

    def _long(self, table: pl.DataFrame) -> pl.DataFrame:
        """One row for each value: line, _service, _metric, _label_n, _time, _text, _ts, _value."""
        columns = self._columns
        service = _text_or(columns.service, self._service)
        table = table.with_columns(_ts=parse_times(table[columns.time]))
        time = pl.col(columns.time).cast(pl.String).str.strip_chars().alias("_time")
        if columns.value is None:
            texts = [pl.col(name).cast(pl.String).str.strip_chars() for name in columns.metrics]
            wide = table.select("line", "_ts", time, service.alias("_service"), *texts)
            long = wide.unpivot(
                on=list(columns.metrics),
                index=["line", "_ts", "_time", "_service"],
                variable_name="_metric",
                value_name="_text",
            )
            # an empty cell of a wide table means that the metric was not measured at that time
            long = long.filter(pl.col("_text").is_not_null() & (pl.col("_text") != ""))
            return long.with_columns(pl.col("_metric").str.strip_chars(), _value=_number("_text"))
        labels = [_text_or(name, "").alias(f"_label_{n}") for n, name in enumerate(columns.labels)]
        metric = _text_or(columns.metric, self._metric)
        value = pl.col(columns.value)
        number = (
            value.cast(pl.Float64) if table.schema[columns.value].is_numeric() else _number(columns.value)
        )
        return table.select(
            "line",
            "_ts",
            time,
            service.alias("_service"),
            metric.alias("_metric"),
            *labels,
            value.cast(pl.String).str.strip_chars().alias("_text"),
            number.alias("_value"),
        )

    def _series_of(self, key: tuple[str, ...]) -> Series:
        if key not in self._known:
            service, metric, *labels = key
            pairs = zip(self._columns.labels, labels, strict=True)
            guess = guess_metric(metric)
            series = Series(
                tenant=self._tenant,
                service=service,
                metric=metric,
                labels={name: label for name, label in pairs if label},
                unit=guess.unit,
                kind=guess.kind,
                role=guess.role,
            )
            described = self._describe(series)
            if described.kind is SeriesKind.COUNTER:
                described = replace(
                    described, unit=f"{described.unit}/s".lstrip("/") if described.unit else "1/s"
                )
            self._known[key] = described
        return self._known[key]

    def _learn_steps(self, found: pl.DataFrame, samples: pl.DataFrame) -> None:
        """Set the step of a series from the first chunk with two samples of it, unless `describe` has set it."""
        steps = dict(median_steps(samples).iter_rows())
        for key in found.iter_rows():
            series = self._known[key]
            step_s = steps.get(series.series_id)
            if series.step_s == DEFAULT_STEP_S and step_s is not None and key not in self._stepped:
                self._stepped.add(key)
                self._known[key] = replace(series, step_s=step_s)

    def _rates(self, series: Sequence[Series], samples: pl.DataFrame) -> pl.DataFrame:
        counters = [item.series_id for item in series if item.kind is SeriesKind.COUNTER]
        if not counters:
            return samples
        counted = pl.col("series_id").is_in(counters)
        return pl.concat([samples.filter(~counted), self._counters.rates(samples.filter(counted))])

    def _rejected(self, bad: pl.DataFrame) -> pl.DataFrame:
        if bad.is_empty():
            return pl.DataFrame(schema=REJECTED)
        rows = [
            json.dumps({"file": self._file, "line": line, "time": time, "metric": metric, "value": text})
            for line, time, metric, text in bad.select("line", "_time", "_metric", "_text").iter_rows()
        ]
        reason = pl.format("line {}: {}", "line", "_reason")
        return pl.DataFrame({"row": rows, "reason": bad.select(reason).to_series()}, schema=REJECTED)


def median_steps(samples: pl.DataFrame) -> pl.DataFrame:
    """series_id and step_s (the median spacing in whole seconds) of each series with at least two samples."""
    return (
        samples.sort("series_id", "ts")
        .with_columns(gap=pl.col("ts").diff().over("series_id").dt.total_microseconds() / 1e6)
        .filter(pl.col("gap") > 0)
        .group_by("series_id")
        .agg(step_s=pl.col("gap").median().round().cast(pl.Int64))
        .with_columns(step_s=pl.max_horizontal("step_s", 1))
    )


def _text_or(column: str | None, otherwise: str) -> pl.Expr:
    return pl.lit(otherwise) if column is None else pl.col(column).cast(pl.String).str.strip_chars()


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)


def _reason() -> pl.Expr:
    """The first error in a row of the long form, with the column and the text; null when there is none."""
    time, text = pl.col("_time").fill_null(""), pl.col("_text").fill_null("")
    return (
        pl.when(pl.col("_service").fill_null("") == "")
        .then(pl.lit("service is missing"))
        .when(pl.col("_metric").fill_null("") == "")
        .then(pl.lit("metric is missing"))
        .when(time == "")
        .then(pl.lit("time is missing"))
        .when(pl.col("_ts").is_null())
        .then(pl.format("time '{}' is not a time", time))
        .when(text == "")
        .then(pl.lit("value is missing"))
        .when(pl.col("_value").is_null())
        .then(pl.format("value '{}' is not a number", text))
        .when(~pl.col("_value").is_finite())
        .then(pl.format("value '{}' is not a finite number", text))
        .otherwise(None)
    )
