"""The CSV format: text of a file, in chunks of whole rows.

Commas, semicolons, tabs or bars separate fields. Quotes, line breaks within quotes, a line `sep=;` before the header,
any letter case of the header, any kind of line ends, common encodings and compression are accepted.
`pipelines.sources.columns` documents the columns.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.errors import InputError
from pipelines.sources.columns import VALUE_NAMES, name_of_unnamed
from pipelines.sources.dialect import NO_OPTIONS, FileChunk, FileOptions
from pipelines.sources.quantities import DecimalMark
from pipelines.sources.text_files import is_text, open_text
from pipelines.sources.times import are_times

_DELIMITERS = ",;\t|"
#: A quote that is not closed within so many lines is taken for a stray one.
_MAX_RECORD_LINES = 100
#: If more of the first lines are no text, the encoding is wrong, and not some lines.
_MAX_DAMAGED_SHARE = 0.1
#: Lines that the search for the delimiter looks at.
_SAMPLE_LINES = 20


class CsvFormat:
    """Reads a file in chunks of whole lines."""

    name = "csv"
    kind = ".csv or .tsv file"
    suffixes: tuple[str, ...] = tuple(
        f"{kind}{packed}"
        for kind in (".csv", ".tsv")
        for packed in ("", ".gz", ".zst", ".bz2", ".xz", ".zip")
    )

    def __init__(self, options: FileOptions = NO_OPTIONS) -> None:
        self._options = options

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        layout: _Layout | None = None
        lines: list[str] = []
        first, rows = 1, 0
        with open_text(path, encoding=self._options.encoding, is_complete=self._options.is_complete) as file:
            for block in file.blocks():
                lines += io.StringIO(block.text, newline="").readlines()
                if layout is None:
                    layout, used = _find_layout(lines, file.encoding, self._options.decimal)
                    if layout is None:
                        continue
                    first, lines = first + used, lines[used:]
                    _require_encoding(lines[:1000], first, file.encoding)
                chunk, used = layout.chunk(lines, first, is_finished=block.is_last and file.is_finished)
                first, lines, rows = first + used, lines[used:], rows + len(chunk.lines)
                if used or not rows:
                    yield chunk  # without rows, too: its header is checked
            note = _note(
                lines, first, is_cut=bool(file.cut_line), is_empty=rows == 0, has_header=layout is not None
            )
        if note:
            yield FileChunk.only_notes(note, end=first - 1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Header and delimiter of a file, and how its encoding is called."""

    header: tuple[str, ...]
    delimiter: str
    encoding: str
    decimal: DecimalMark | None

    def chunk(self, lines: Sequence[str], first: int, *, is_finished: bool) -> tuple[FileChunk, int]:
        """The rows of some lines, and how many lines they are: a record that is not closed yet is left over."""
        joined = "".join(lines)
        damaged: dict[int, str] = {}
        if "\0" in joined or not is_text(joined):
            damaged = {n: text for n, line in enumerate(lines) if (text := _damage(line, self.encoding))}
            lines = ["\n" if n in damaged else line for n, line in enumerate(lines)]
        if '"' in joined:
            at, fields, used = self._records(lines, is_finished=is_finished)
            rows = pl.DataFrame(
                {"line": at, "fields": fields}, schema={"line": pl.Int64, "fields": pl.List(pl.String)}
            )
        else:
            used = len(lines)
            column = pl.Series("text", lines, dtype=pl.String).str.strip_chars_end("\r\n")
            rows = pl.DataFrame({"line": pl.int_range(used, eager=True), "text": column})
            rows = rows.filter(pl.col("text").str.contains(r"\S")).select(
                "line", fields=pl.col("text").str.split(self.delimiter)
            )
        table = self._table(rows)
        bad = [n for n in damaged if n < used]
        if bad:
            problems = pl.DataFrame(
                {"line": bad, "problem": [damaged[n] for n in bad]}, schema_overrides={"line": pl.Int64}
            )
            table = pl.concat([table, problems], how="diagonal").sort("line")
        chunk = FileChunk(
            table=table.drop("line", "problem"),
            lines=table["line"] + first,
            problems=table["problem"],
            end=first + used - 1,
        )
        return chunk, used

    def _records(self, lines: Sequence[str], *, is_finished: bool) -> tuple[list[int], list[list[str]], int]:
        """The number of the first line and the fields of each record, and how many lines they are."""
        at: list[int] = []
        records: list[list[str]] = []
        n = 0
        while n < len(lines):
            if '"' not in lines[n]:
                if lines[n].strip():
                    at.append(n)
                    records.append(lines[n].rstrip("\r\n").split(self.delimiter))
                n += 1
                continue
            fields, used = self._quoted(lines, n, is_finished=is_finished)
            if used == 0:
                break
            at.append(n)
            records.append(fields)
            n += used
        return at, records, n

    def _quoted(self, lines: Sequence[str], n: int, *, is_finished: bool) -> tuple[list[str], int]:
        """The fields of the record that begins in line `n`, and its number of lines: 0 if it is not closed yet."""
        alone = _fields(lines[n], self.delimiter)
        end = n + 1
        is_open = lines[n].count('"') % 2 == 1
        while is_open and end < len(lines) and end - n < _MAX_RECORD_LINES:
            is_open ^= lines[end].count('"') % 2 == 1
            end += 1
        if not is_open:
            whole = _fields("".join(lines[n:end]), self.delimiter)
            # Two stray quotes in two lines are no record of many lines.
            return (whole, end - n) if end == n + 1 or len(whole) == len(self.header) else (alone, 1)
        follow = (len(line.split(self.delimiter)) == len(self.header) for line in lines[n + 1 : end])
        if is_finished or end - n >= _MAX_RECORD_LINES or any(follow):
            return alone, 1
        return [], 0

    def _table(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`line`, `problem` and the columns of the file as text; all null for a row with too many or too few fields."""
        width = len(self.header)
        fields = pl.col("fields")
        if self.decimal is DecimalMark.COMMA and self.delimiter == ",":
            rows = rows.with_columns(fields=self._with_decimal_comma())
        count = fields.list.len()
        surplus = fields.list.slice(width).list.join("").str.strip_chars()
        extra = fields.list.get(width, null_on_oob=True)
        hint = ". If the comma separates decimals, give --decimal ," if self.delimiter == "," else ""
        problem = (
            pl.when(count < width)
            .then(pl.format("the row has {} fields, and the header has {}", count, pl.lit(width)))
            .when(surplus != "")
            .then(
                pl.format(
                    "the row has {} fields, and the header has {}: '{}' is an extra field{}",
                    count, pl.lit(width), extra, pl.lit(hint),
                )
            )
        )  # fmt: skip
        rows = rows.with_columns(problem=problem)
        return rows.select(
            "line",
            "problem",
            *[
                pl.when(pl.col("problem").is_null()).then(fields.list.get(n, null_on_oob=True)).alias(name)
                for n, name in enumerate(self.header)
            ],
        )

    def _with_decimal_comma(self) -> pl.Expr:
        """With one field instead of the two that the decimal comma of an unquoted value makes."""
        fields = pl.col("fields")
        names = [name.lower() for name in self.header]
        at = next((names.index(name) for name in VALUE_NAMES if name in names), len(names) - 1)
        value = fields.list.get(at, null_on_oob=True) + "," + fields.list.get(at + 1, null_on_oob=True)
        joined = pl.concat_list(fields.list.head(at), value, fields.list.slice(at + 2))
        return pl.when(fields.list.len() == len(self.header) + 1).then(joined).otherwise(fields)


def _find_layout(
    lines: Sequence[str], encoding: str, decimal: DecimalMark | None
) -> tuple[_Layout | None, int]:
    """The layout, and how many lines come before the first row; null while there is no line with content."""
    start = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
    while (
        start < len(lines)
        and lines[start].startswith("#")
        and any(line.strip() and not line.startswith("#") for line in lines[start + 1 :])
    ):
        start += 1  # comments, or the annotations of InfluxDB
    declared = re.fullmatch(r'"?sep=(.)"?', lines[start].strip("\r\n")) if start < len(lines) else None
    if declared:
        start = next((n for n, line in enumerate(lines) if n > start and line.strip()), len(lines))
    if start == len(lines):
        return None, 0
    delimiter = declared[1] if declared else _delimiter(lines[start : start + _SAMPLE_LINES])
    end = start + 1
    while end < len(lines) and end - start < _MAX_RECORD_LINES and "".join(lines[start:end]).count('"') % 2:
        end += 1
    if damage := _damage("".join(lines[start:end]), encoding):
        raise InputError(f"line {start + 1}: {damage}")
    cells = [" ".join(name.split()) for name in _fields("".join(lines[start:end]), delimiter)]
    is_time = are_times(pl.Series(cells, dtype=pl.String))
    if is_time.any():
        return _Layout(_without_header(is_time, start), delimiter, encoding, decimal), start
    header = tuple(name or name_of_unnamed(n) for n, name in enumerate(cells, start=1))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(
            f"line {start + 1}: columns must have different names, and {', '.join(twice)} occurs twice"
        )
    return _Layout(header, delimiter, encoding, decimal), end


def _without_header(is_time: pl.Series, start: int) -> tuple[str, ...]:
    """The names of the columns of a file whose first line has data: a time and a number need none.

    Raises:
        InputError: the line has other cells.
    """
    if len(is_time) == 2 and is_time.sum() == 1:
        return tuple("timestamp" if time else "value" for time in is_time)
    raise InputError(
        f"line {start + 1} has values and no names of columns; add a first line with names, such as timestamp,value"
    )


def _delimiter(lines: Sequence[str]) -> str:
    """The character that separates the header into the most columns, and the rows into as many."""

    def fitness(delimiter: str) -> tuple[bool, int, int]:
        counts = [len(_fields(line, delimiter)) for line in lines if line.strip()]
        return counts[0] > 1, sum(count == counts[0] for count in counts[1:]), counts[0]

    return max(_DELIMITERS, key=fitness)


def _fields(record: str, delimiter: str) -> list[str]:
    """Parse one record; a quote that is never closed ends with it."""
    try:
        fields = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter), [])
    except csv.Error:
        fields = record.split(delimiter)
    if fields:
        fields[-1] = fields[-1].rstrip("\r\n")
    return fields


def _damage(line: str, encoding: str) -> str | None:
    """Why a line cannot be stored; null for a good line."""
    if "\0" in line:
        return "the line has the character NUL"
    if is_text(line):
        return None
    shown = line.strip().encode("utf-8", "backslashreplace").decode().replace("\\udc", "\\x")
    return (
        f"the line is not encoded in {encoding.upper()}: '{shown}'."
        " If the whole file has another encoding, give it with --encoding, such as --encoding cp1252"
    )


def _require_encoding(lines: Sequence[str], first: int, encoding: str) -> None:
    """Refuse a file of which many lines are not encoded as assumed: the other lines prove nothing."""
    damaged = [(n, line) for n, line in enumerate(lines) if not is_text(line)]
    if len(damaged) > _MAX_DAMAGED_SHARE * len(lines):
        n, line = damaged[0]
        raise InputError(f"line {first + n}: {_damage(line, encoding)}")


def _note(lines: Sequence[str], first: int, *, is_cut: bool, is_empty: bool, has_header: bool) -> str:
    """What the reader of the report must know about the end of the file."""
    if is_cut and not lines:
        return f"line {first} has no line end yet and waits for it; --complete reads it as it is"
    if lines and has_header:
        return f"line {first} has an open quote and waits for the rest; --complete reads it as it is"
    if not has_header:
        return "the file is empty"
    return "the file has a header and no rows" if is_empty else ""
