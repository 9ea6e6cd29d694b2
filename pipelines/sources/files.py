"""Files of any format as a source of metrics.

The cursor remembers for each file how many lines were read. A file that has grown is read from there. A file that has
changed otherwise is read again from its start; this is safe, because the store keeps each value once.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from core.domain import Series
from core.errors import InputError
from core.frames import SAMPLES
from core.ports import Batch
from pipelines.sources.file_names import service_and_metric
from pipelines.sources.sidecars import SIDECARS, Sidecars, read_sidecars
from pipelines.sources.tables import ParsedTable, TableReader, find_columns
from pipelines.stores.dead_letters import REJECTED

#: Small files share a batch of up to this size, because a transaction costs as much as thousands of rows.
BATCH_ROWS = 250_000


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Some lines of a file.

    Attributes:
        table: the file's columns and `line`.
        end: the number of the last line, counted with empty lines.
    """

    table: pl.DataFrame
    end: int


class FileFormat(Protocol):
    """Reads one format of files."""

    name: str
    suffixes: tuple[str, ...]

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        """The chunks of a file from its start; they are the same each time.

        Raises:
            InputError: the file does not have this format.
        """
        ...


@dataclass(slots=True)
class _Pending:
    """What was read since the last batch."""

    series: dict[int, Series] = field(default_factory=dict)
    samples: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0

    def add(self, part: ParsedTable) -> None:
        self.series.update({series.series_id: series for series in part.series})
        self.samples.append(part.samples)
        self.rejected.append(part.rejected)
        self.rows += part.samples.height + part.rejected.height

    def batch(self, sidecars: Sidecars, cursor: str) -> Batch:
        rejected = [*self.rejected, sidecars.rejected]
        return Batch(
            series=tuple(self.series.values()),
            samples=pl.concat(self.samples) if self.samples else pl.DataFrame(schema=SAMPLES),
            rejected=pl.concat(rejected),
            events=sidecars.events,
            incidents=sidecars.incidents,
            cursor=cursor,
        )


class FileSource:
    """A file, or all files of a format under a folder (`core.ports.MetricSource`)."""

    def __init__(self, path: Path, *, tenant: str, file_format: FileFormat) -> None:
        self._path = path.absolute()
        self._tenant = tenant
        self._format = file_format

    @property
    def name(self) -> str:
        return f"{self._format.name}:{self._path}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """Everything new since `cursor`, ordered by the names of the files.

        Raises:
            InputError: the path does not exist, has no file of the format, or is a file that cannot be read.
        """
        files = self._files()
        sidecars = read_sidecars(self._root, self._tenant)
        done: dict[str, list[int]] = json.loads(cursor) if cursor else {}
        pending, first = _Pending(), True
        for path in files:
            name = path.relative_to(self._root).as_posix()
            stat = path.stat()
            known = done.get(name, [0, 0, 0])
            if known[1:] == [stat.st_size, stat.st_mtime_ns]:
                continue
            start = known[0] if stat.st_size > known[1] else 0  # lines done
            for part, end in self._parts(path, name, start, sidecars):
                pending.add(part)
                if pending.rows >= BATCH_ROWS:
                    # size 0: the file was not read to its end, so the next pull continues with it
                    done[name] = [end, 0, 0]
                    yield pending.batch(sidecars if first else sidecars.descriptions_only, json.dumps(done))
                    pending, first = _Pending(), False
                start = end
            done[name] = [start, stat.st_size, stat.st_mtime_ns]
        if pending.rows or first:
            yield pending.batch(sidecars if first else sidecars.descriptions_only, json.dumps(done))
        elif done != (json.loads(cursor) if cursor else {}):
            yield Batch(cursor=json.dumps(done))

    @property
    def _root(self) -> Path:
        return self._path if self._path.is_dir() else self._path.parent

    def _files(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        if not self._path.is_dir():
            raise InputError(f"{self._path} does not exist")
        found = sorted(
            path
            for path in self._path.rglob("*")
            if path.name.lower().endswith(self._format.suffixes)
            and path.is_file()
            and not (path.parent == self._path and path.name in SIDECARS)
        )
        if not found:
            kinds = " or ".join(self._format.suffixes)
            raise InputError(f"there is no {kinds} file under {self._path}")
        return found

    def _parts(
        self, path: Path, name: str, start: int, sidecars: Sidecars
    ) -> Iterator[tuple[ParsedTable, int]]:
        """What comes after line `start`. The lines before are read too, because steps and rates depend on them."""
        reader: TableReader | None = None
        try:
            for chunk in self._format.chunks(path):
                if reader is None:
                    service, metric = service_and_metric(path)
                    reader = TableReader(
                        find_columns([column for column in chunk.table.columns if column != "line"]),
                        tenant=self._tenant,
                        file=name,
                        service=service,
                        metric=metric,
                        describe=sidecars.describe,
                    )
                known = pl.col("line") <= start
                reader.read(chunk.table.filter(known))
                if chunk.end > start:
                    yield reader.read(chunk.table.filter(~known)), chunk.end
        except InputError as error:
            if path == self._path:
                raise InputError(f"{name}: {error}") from error
            # a file that cannot be read must not keep the others out
            row = {"row": json.dumps({"file": name}), "reason": str(error)}
            empty = pl.DataFrame(schema=SAMPLES)
            yield ParsedTable(series=(), samples=empty, rejected=pl.DataFrame([row], schema=REJECTED)), start
