"""CSV files: `timestamp,value` with the series in the file name, long with a metric column, or wide.

`pipelines.sources.csv_format` documents what a file may look like, `columns` the columns, `file_names` how a file name
gives service and metric, and `sidecars` the files that may lie beside the data.
"""

from pathlib import Path

from pipelines.sources.csv_format import CsvFormat
from pipelines.sources.dialect import NO_OPTIONS, FileOptions
from pipelines.sources.files import FileSource


class CsvFiles(FileSource):
    """A CSV file, or all CSV files under a folder."""

    def __init__(self, path: Path, *, tenant: str, options: FileOptions = NO_OPTIONS) -> None:
        super().__init__(path, tenant=tenant, file_format=CsvFormat(options), options=options)
