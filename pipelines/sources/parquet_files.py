"""Parquet files, in the same shapes as CSV (`pipelines.sources.tables`)."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from core.errors import InputError
from pipelines.sources.files import FileChunk, FileSource

CHUNK_ROWS = 250_000


class ParquetFiles(FileSource):
    """A Parquet file, or all Parquet files under a folder."""

    def __init__(self, path: Path, *, tenant: str) -> None:
        super().__init__(path, tenant=tenant, file_format=ParquetFormat())


class ParquetFormat:
    """Reads a file in slices of rows; `line` is the number of the row, from 1."""

    name = "parquet"
    suffixes: tuple[str, ...] = (".parquet",)

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        try:
            lazy = pl.scan_parquet(path)
            if "line" in lazy.collect_schema():
                raise InputError("no column may have the name 'line'")
            rows = lazy.select(pl.len()).collect().item()
            for start in range(0, rows, CHUNK_ROWS):
                table = lazy.slice(start, CHUNK_ROWS).collect().with_row_index("line", start + 1)
                yield FileChunk(table.with_columns(pl.col("line").cast(pl.Int64)), start + table.height)
        except (PolarsError, OSError) as error:
            raise InputError(f"is not a readable Parquet file: {error}") from error
