"""CSV files: `timestamp,value` with the series in the file name, long with a metric column, or wide.

Each row is one line. Commas, semicolons or tabs separate fields. Quotes, a byte order mark, both kinds of line ends and
any letter case of the header are accepted. `pipelines.sources.tables` documents the columns, `file_names` how a file
name gives service and metric, and `sidecars` the files that may lie beside the data.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from core.errors import InputError
from pipelines.sources.files import FileChunk, FileSource

#: About 250,000 rows.
CHUNK_BYTES = 8_000_000
_DELIMITERS = ",;\t"


class CsvFiles(FileSource):
    """A CSV file, or all CSV files under a folder."""

    def __init__(self, path: Path, *, tenant: str) -> None:
        super().__init__(path, tenant=tenant, file_format=CsvFormat())


class CsvFormat:
    """Reads a file in chunks of whole lines."""

    name = "csv"
    suffixes: tuple[str, ...] = (".csv",)

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        try:
            with path.open("rb") as file:
                first = file.readline()
                header, delimiter = _header(first)
                line = 2
                while data := file.read(CHUNK_BYTES):
                    data += file.readline()
                    lines = data.decode("utf-8", errors="replace").split("\n")
                    if not lines[-1]:
                        lines.pop()
                    yield FileChunk(_table(lines, header, delimiter, line), line + len(lines) - 1)
                    line += len(lines)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}") from error


def _header(first: bytes) -> tuple[list[str], str]:
    text = first.decode("utf-8-sig", errors="replace").strip()
    if not text or "\0" in text:
        raise InputError("the first line is not the header of a CSV file")
    delimiter = max(_DELIMITERS, key=text.count)
    names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter))]
    if len(set(names)) != len(names) or "line" in names:
        raise InputError(f"the columns {', '.join(names)} must have different names, and none may be 'line'")
    return names, delimiter


def _table(lines: list[str], header: list[str], delimiter: str, first_line: int) -> pl.DataFrame:
    """The fields of each line as text; all null for a line with too many or too few fields."""
    text = pl.DataFrame({"text": lines}, schema={"text": pl.String}).with_row_index("line", first_line)
    text = text.with_columns(pl.col("line").cast(pl.Int64), pl.col("text").str.strip_chars_end("\r"))
    text = text.filter(pl.col("text").str.strip_chars() != "")
    if text["text"].str.contains('"', literal=True).any():
        rows = [_quoted(line, delimiter) for line in text["text"]]
        fields = pl.Series("fields", rows, dtype=pl.List(pl.String))
    else:
        fields = text["text"].str.split(delimiter).alias("fields")
    columns = [pl.col("fields").list.get(n, null_on_oob=True).alias(name) for n, name in enumerate(header)]
    whole = pl.col("fields").list.len() == len(header)
    return text.select("line", fields, _whole=fields.list.len() == len(header)).select(
        "line",
        *[pl.when(whole).then(column).alias(name) for column, name in zip(columns, header, strict=True)],
    )


def _quoted(line: str, delimiter: str) -> list[str]:
    """Parse one line, so that a quote that is never closed spoils one line and not the rest of the file."""
    return next(csv.reader([line], delimiter=delimiter), [])
