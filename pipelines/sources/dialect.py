"""The notation of a file: the order of its dates and its decimal mark, from its cells or from options."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import polars as pl

from core.errors import InputError
from pipelines.sources.columns import TableColumns
from pipelines.sources.quantities import DecimalMark, MarkEvidence, is_plain
from pipelines.sources.times import DateEvidence, DateOrder, parse_times


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """What a person declares about files; null: the files have to tell it themselves.

    Attributes:
        date_order: of dates such as 3/4/2026.
        decimal: the decimal mark.
        encoding: a name that Python knows.
        is_complete: nobody writes to the files any more, so that a last line without a line end is whole.
    """

    date_order: DateOrder | None = None
    decimal: DecimalMark | None = None
    encoding: str | None = None
    is_complete: bool = False

    @property
    def key(self) -> str:
        """What a cursor keeps: with other options a file is read again."""
        return f"{self.date_order or ''};{self.decimal or ''};{self.encoding or ''};{self.is_complete or ''}".strip(
            ";"
        )


NO_OPTIONS = FileOptions()


@dataclass(frozen=True, slots=True)
class Notation:
    """How the cells of a file are to be read."""

    date_order: DateOrder | None = None
    decimal: DecimalMark = DecimalMark.POINT


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Some rows of a file.

    Attributes:
        table: the columns of the file; of no column and no row when there is only something to report.
        lines: Int64, the number of the first line of each row; of a Parquet file the number of the row, from 1.
        problems: String, why a row cannot be read; null for a good row.
        end: the number of the last line that was read, counted with empty lines.
        notes: what the reader of the report must know.
    """

    table: pl.DataFrame
    lines: pl.Series
    problems: pl.Series
    end: int
    notes: tuple[str, ...] = ()

    def filter(self, mask: pl.Series) -> "FileChunk":
        """The rows for which `mask` is true."""
        return replace(
            self,
            table=self.table.filter(mask),
            lines=self.lines.filter(mask),
            problems=self.problems.filter(mask),
        )

    @classmethod
    def only_notes(cls, *notes: str, end: int) -> "FileChunk":
        """A chunk without rows."""
        empty = pl.Series([], dtype=pl.String)
        return cls(pl.DataFrame(), pl.Series([], dtype=pl.Int64), empty, end, notes)


def find_notation(
    columns: TableColumns, first: FileChunk, options: FileOptions, chunks: Callable[[], Iterable[FileChunk]]
) -> Notation:
    """Find the notation that all rows of a file have in common.

    Most files are written by programs, and their first rows leave no doubt. Others are read once more as a whole.

    Args:
        first: the first rows.
        chunks: reads all rows again.
    Raises:
        InputError: the rows leave a doubt; the text names a line, and the option that decides.
    """
    dates = None if options.date_order or _has_plain_times(columns, first) else DateEvidence({})
    marks = None if options.decimal or _has_plain_numbers(columns, first) else MarkEvidence({})
    if dates is not None or marks is not None:
        for chunk in chunks():
            if dates is not None:
                _add_dates(dates, columns, chunk)
            if marks is not None:
                for name in _text_names(columns, chunk):
                    marks.add(chunk.table[name], chunk.lines)
    return Notation(
        date_order=options.date_order if dates is None else _decided_order(dates),
        decimal=options.decimal or (DecimalMark.POINT if marks is None else _decided_mark(marks)),
    )


def _text_names(columns: TableColumns, chunk: FileChunk) -> list[str]:
    names = columns.metrics if columns.value is None else (columns.value,)
    schema = chunk.table.schema
    return [name for name in names if schema.get(name) == pl.String]


def _has_plain_times(columns: TableColumns, chunk: FileChunk) -> bool:
    column = chunk.table[columns.date or columns.time]
    if column.dtype != pl.String:
        return True
    return not (column.is_not_null() & (column.str.strip_chars() != "") & parse_times(column).is_null()).any()


def _has_plain_numbers(columns: TableColumns, chunk: FileChunk) -> bool:
    names = _text_names(columns, chunk)
    return not names or all(chunk.table.select(is_plain(name) for name in names).row(0))


def _add_dates(dates: DateEvidence, columns: TableColumns, chunk: FileChunk) -> None:
    name = columns.date or columns.time
    if name in chunk.table.columns and chunk.table.schema[name] == pl.String:
        dates.add(chunk.table[name], chunk.lines)


def _decided_order(dates: DateEvidence) -> DateOrder | None:
    if len(dates.proven) > 1:
        (first, (line, text)), (second, (other_line, other_text)) = dates.proven.items()
        raise InputError(
            f"line {line}: the time '{text}' is {first}, but '{other_text}' in line {other_line} is {second}."
            " Give the order with --date-order dmy or --date-order mdy; rows with the other one are rejected"
        )
    if dates.proven:
        return next(iter(dates.proven))
    if dates.unclear is not None:
        line, text = dates.unclear
        raise InputError(
            f"line {line}: the time '{text}' does not tell which number is the day, and no other line decides it."
            " Give the order with --date-order dmy, mdy or ymd"
        )
    return None


def _decided_mark(marks: MarkEvidence) -> DecimalMark:
    if len(marks.proven) > 1 and marks.unclear is not None:
        (_, (line, text)), (_, (other_line, other_text)) = marks.proven.items()
        unclear_line, unclear = marks.unclear
        raise InputError(
            f"line {unclear_line}: the number '{unclear}' is not clear, because '{text}' in line {line} and"
            f" '{other_text}' in line {other_line} have different decimal marks."
            " Give the mark with --decimal , or --decimal ."
        )
    if not marks.proven and marks.unclear is not None:
        line, text = marks.unclear
        raise InputError(
            f"line {line}: the comma in the number '{text}' can separate thousands or decimals, and no other line"
            " decides it. Give the decimal mark with --decimal , or --decimal ."
        )
    # Where each number is clear in itself, the mark of most files decides; the others are rejected one by one.
    return DecimalMark.COMMA if list(marks.proven) == [DecimalMark.COMMA] else DecimalMark.POINT
