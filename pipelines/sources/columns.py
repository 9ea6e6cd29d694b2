"""The roles of the columns of a table: by their names, and where names do not tell, by their first rows."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from core.errors import InputError
from core.service_names import SERVICE_LABELS, ServiceRule
from pipelines.sources.quantities import is_number
from pipelines.sources.times import as_text, parse_times

TIME_NAMES = (
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "ds",
    "at",
    "period",
    "@timestamp",
    "epoch",
    "_time",
)
VALUE_NAMES = ("value", "val", "y", "_value")
#: A column `instance` does not name the service, because the name of the file does.
SERVICE_COLUMNS = ServiceRule(tuple(label for label in SERVICE_LABELS if label != "instance"))
METRIC_NAMES = ("metric", "metric_name", "__name__", "name", "series")
#: Columns that tell things of the same kind apart, in exports without a column of metrics.
_DIMENSIONS = (
    "application availability_zone cluster component container cpu database db device disk endpoint env"
    " environment host hostname id instance instance_id interface ip machine method mount mountpoint name namespace"
    " node partition path pod pool queue region replica route server shard source table target tenant topic type url"
    " vm volume zone"
)
DIMENSION_NAMES = frozenset(_DIMENSIONS.split())
#: So many rows decide on the role of a column. They are the same when the file has grown.
HEAD_ROWS = 1_000
#: The name that a column without a name gets; pandas and Spark have their own.
_UNNAMED = re.compile(r"(column \d+ \(no name\)|Unnamed: \d+|__index_level_\d+__)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """The roles of the columns.

    Attributes:
        date: the column with the date, if `time` has only the time of day.
        metrics: the columns of a wide table.
        left_out: columns that are not read, each with the reason.
    """

    time: str
    value: str | None
    service: str | None
    metric: str | None
    date: str | None = None
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def name_of_unnamed(position: int) -> str:
    """The name of a column whose header cell is empty; positions count from 1."""
    return f"column {position} (no name)"


def find_columns(table: pl.DataFrame) -> TableColumns:
    """The roles of the columns of a table.

    Args:
        table: the first rows of the file.
    Raises:
        InputError: no column is a time, or there is no column of values.
    """
    head = table.head(HEAD_ROWS)
    left_out = [
        f"column '{name}' is left out: values of the type {_type_name(dtype)} are no metric and no label"
        for name, dtype in head.schema.items()
        if dtype.is_nested() or dtype == pl.Object
    ]
    head = head.select(
        name for name, dtype in head.schema.items() if not (dtype.is_nested() or dtype == pl.Object)
    )
    by_name = {_plain_name(column): column for column in reversed(head.columns)}

    def first(names: Sequence[str]) -> str | None:
        return next((by_name[name] for name in names if name in by_name), None)

    time = first(TIME_NAMES) or _only_time(head)
    if time is None:
        raise InputError(
            f"no column has the name of a time ({', '.join(TIME_NAMES)}); the columns are {', '.join(table.columns)}"
        )
    date = by_name.get("date") if _is_time_of_day(head[time]) else None
    value, metric = first(VALUE_NAMES), first(METRIC_NAMES)
    named = SERVICE_COLUMNS.label_in(dict.fromkeys(by_name, "given"))
    service = None if named is None else by_name[named]
    roles = {time, date, value, service}
    others = [name for name in head.columns if name not in roles]
    if value is None:
        return _wide(head, others, time=time, date=date, service=service, left_out=left_out)
    if metric is None:
        labels, reasons = _dimensions(head, others, time=date or time, value_names=[])
        left_out += reasons
    else:
        others = [name for name in others if name != metric]
        labels, reasons = _labels(head, others)
        left_out += reasons
    return TableColumns(
        time=time,
        date=date,
        value=value,
        service=service,
        metric=metric,
        labels=tuple(labels),
        left_out=tuple(left_out),
    )


def _wide(
    head: pl.DataFrame,
    others: list[str],
    *,
    time: str,
    date: str | None,
    service: str | None,
    left_out: list[str],
) -> TableColumns:
    plain = _plain_numbers(head, others)
    metrics = [
        name for name in others if not _is_unnamed(name) and (name in plain or _has_numbers(head[name]))
    ]
    labels, reasons = _dimensions(
        head, [name for name in others if name not in metrics], time=time, value_names=metrics
    )
    if not metrics:
        raise InputError(
            f"the table has no column of values, only {', '.join(repr(name) for name in head.columns)}"
        )
    return TableColumns(
        time=time,
        date=date,
        value=None,
        service=service,
        metric=None,
        labels=tuple(labels),
        metrics=tuple(metrics),
        left_out=(*left_out, *reasons),
    )


def _labels(head: pl.DataFrame, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The columns that are labels of a table with a column of metrics, and why the others are not read."""
    labels, reasons = [], []
    for name in names:
        if _is_unnamed(name):
            reasons += _unless_empty(head[name], f"{_quoted(name)} is left out: it has no name")
        elif head.schema[name].is_temporal():
            reasons.append(
                f"column '{name}' is left out: it has times, and a label with times would split the series"
            )
        else:
            labels.append(name)
    return labels, reasons


def _dimensions(
    head: pl.DataFrame, names: Sequence[str], *, time: str, value_names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The columns that tell series apart in a table without a column of metrics, and why the others are not read.

    A column of text does if its name says so, or if a time occurs several times.
    """
    times_repeat = head[time].drop_nulls().is_duplicated().any()
    labels, reasons = [], []
    for name in names:
        column = head[name]
        is_dimension = _plain_name(name) in DIMENSION_NAMES
        has_names = not _is_unnamed(name) and (_is_integer(column) if _has_numbers(column) else True)
        is_needed = times_repeat and (is_dimension or not _has_numbers(column))
        if (
            has_names
            and not column.dtype.is_temporal()
            and (is_needed or (is_dimension and not _is_flag(column)))
        ):
            labels.append(name)
        else:
            why = (
                "it is no number"
                if value_names
                else "it names no series, and the table has no column of metrics"
            )
            reasons += _unless_empty(column, f"{_quoted(name)} is left out: {why}")
    return labels, reasons


def _is_flag(column: pl.Series) -> bool:
    """Whether a column has only 0 and 1, such as the labels of a data set for anomaly detection."""
    return column.dtype == pl.Boolean or set(as_text(column).drop_nulls().unique()) <= {
        "0",
        "1",
        "0.0",
        "1.0",
    }


def _is_integer(column: pl.Series) -> bool:
    """Whether a column of numbers has only whole ones, as ids have."""
    return bool(as_text(column).drop_nulls().str.contains(r"^\s*\d*\s*$").all())


def _only_time(head: pl.DataFrame) -> str | None:
    """The only column whose cells are dates or times of a calendar; null if there are none or several."""
    found = [name for name in head.columns if _has_times(head[name])]
    return found[0] if len(found) == 1 else None


def _has_times(column: pl.Series) -> bool:
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return True
    if column.dtype != pl.String:
        return False
    cells = column.str.strip_chars().drop_nulls()
    cells = cells.filter(cells != "")
    # A number can be an epoch, but then only the name of the column tells.
    is_date = cells.str.contains(r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(\D|$)")
    return len(cells) > 0 and bool(is_date.all()) and parse_times(cells).is_not_null().any()


def _is_time_of_day(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    cells = column.str.strip_chars().drop_nulls()
    return len(cells) > 0 and bool(cells.str.contains(r"^\d{1,2}:\d{2}(:\d{2})?").all())


def _has_numbers(column: pl.Series) -> bool:
    """Whether a column can have values: one of its cells is a number, or it has no cell yet."""
    if (
        column.dtype.is_numeric()
        or column.dtype in (pl.Boolean, pl.Null)
        or isinstance(column.dtype, pl.Duration)
    ):
        return True
    if column.dtype.is_temporal():
        return False
    numbers = is_number(as_text(column)).drop_nulls()
    return len(numbers) == 0 or bool(numbers.any())


def _plain_numbers(head: pl.DataFrame, names: Sequence[str]) -> set[str]:
    """The text columns of which a cell is a number as programs write it; all at once, for tables of thousands."""
    texts = [name for name, dtype in head.select(names).schema.items() if dtype == pl.String]
    cells = pl.col(texts).str.strip_chars().cast(pl.Float64, strict=False)
    found = head.select((cells.is_not_null() & ~cells.is_nan()).any()) if texts else pl.DataFrame()
    return {name for name in found.columns if found[name][0]}


def _unless_empty(column: pl.Series, reason: str) -> list[str]:
    text = as_text(column).drop_nulls()
    return [reason] if (text.str.strip_chars() != "").any() else []


def _is_unnamed(name: str) -> bool:
    return _UNNAMED.fullmatch(name) is not None


def _quoted(name: str) -> str:
    return name if name.startswith("column ") else f"column '{name}'"


def _plain_name(column: str) -> str:
    """In lower case, without what stands in brackets behind: `Time (UTC)` is `time`."""
    return re.sub(r"\s*[\[(][^\[(]*[\])]$", "", column.strip().lower())


def _type_name(dtype: pl.DataType) -> str:
    return str(dtype).split("(", maxsplit=1)[0].lower()
