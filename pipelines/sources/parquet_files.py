"""Parquet files, in the same shapes as CSV (`pipelines.sources.columns`). Nested columns are left out."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from core.errors import InputError
from pipelines.sources.dialect import NO_OPTIONS, FileChunk, FileOptions
from pipelines.sources.files import FileSource

CHUNK_ROWS = 250_000


class ParquetFiles(FileSource):
    """A Parquet file, or all Parquet files under a folder."""

    def __init__(self, path: Path, *, tenant: str, options: FileOptions = NO_OPTIONS) -> None:
        super().__init__(path, tenant=tenant, file_format=ParquetFormat(), options=options)


class ParquetFormat:
    """Reads a file in slices of rows; the line of a row is its number, from 1."""

    name = "parquet"
    kind = ".parquet file"
    suffixes: tuple[str, ...] = (".parquet", ".pq", ".parq")

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        try:
            lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            schema = lazy.collect_schema()
            rows = lazy.select(pl.len()).collect().item()
            if not rows:
                yield FileChunk.only_notes("the file has no rows", end=0)
            for start in range(0, rows, CHUNK_ROWS):
                table = lazy.select(*_flat(schema)).slice(start, CHUNK_ROWS).collect()
                lines = pl.int_range(start + 1, start + table.height + 1, eager=True)
                table, problems = _with_text(table)
                # A nested column stays as a name, so that it can be reported.
                table = table.with_columns(
                    pl.Series(name, [None], dtype=dtype).new_from_index(0, table.height)
                    for name, dtype in schema.items()
                    if name not in table.columns
                )
                yield FileChunk(table, lines, problems, start + table.height)
        except (PolarsError, PanicException, OSError) as error:  # Polars panics about some damaged pages
            raise InputError(f"is not a readable Parquet file, or not whole: {error}") from error


def _flat(schema: pl.Schema) -> list[str]:
    return [name for name, dtype in schema.items() if not (dtype.is_nested() or dtype == pl.Object)]


def _with_text(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The table with binary and categorical columns as text, and the problem of each row whose bytes are no text."""
    problems = pl.Series("problem", [None], dtype=pl.String).new_from_index(0, table.height)
    for name, dtype in table.schema.items():
        if dtype == pl.Binary:
            text = {value: _decoded(value) for value in table[name].drop_nulls().unique()}
            bad = [value for value, decoded in text.items() if decoded is None]
            if bad:
                shown = pl.lit(f"column '{name}' is not encoded in UTF-8")
                is_bad = pl.col(name).is_in(bad).fill_null(False)
                found = table.select(pl.when(is_bad).then(shown)).to_series()
                problems = problems.zip_with(problems.is_not_null(), found)
            table = table.with_columns(
                pl.col(name).replace_strict(
                    list(text), list(text.values()), default=None, return_dtype=pl.String
                )
                if text
                else pl.lit(None, pl.String).alias(name)
            )
        elif dtype in (pl.Categorical, pl.Enum):
            table = table.with_columns(pl.col(name).cast(pl.String))
    return table, problems


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
