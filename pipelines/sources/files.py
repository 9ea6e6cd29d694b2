"""Files as a source, whatever their format: which to read, how far, and in batches of a bearable size.

The cursor tells for each file how far it has been read. A file that has grown is read on from there; one
that was changed otherwise is read anew, which harms nothing, since a value that is known is not stored twice.
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
from pipelines.sources.tables import Part, TableReader, find_layout
from pipelines.stores.dead_letters import REJECTED

#: Small files share a batch up to this size: a transaction costs as much as thousands of rows.
BATCH_ROWS = 250_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file.

    Attributes:
        table: the file's columns and `line`.
        end: the number of its last line, those without content included.
    """

    table: pl.DataFrame
    end: int


class Format(Protocol):
    """How to read one kind of file."""

    name: str
    suffixes: tuple[str, ...]

    def pieces(self, path: Path) -> Iterator[Piece]:
        """The file from its start, in pieces whose borders are always the same.

        Raises:
            InputError: the file is not of this kind.
        """
        ...


@dataclass(slots=True)
class _Pending:
    """What has been read and not handed over yet."""

    series: dict[int, Series] = field(default_factory=dict)
    samples: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0

    def add(self, part: Part) -> None:
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
    """A file, or all files of a kind under a folder (`core.ports.MetricSource`)."""

    def __init__(self, path: Path, *, tenant: str, form: Format) -> None:
        self._path = path.absolute()
        self._tenant = tenant
        self._form = form

    @property
    def name(self) -> str:
        return f"{self._form.name}:{self._path}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All that is new since `cursor`, by the names of the files.

        Raises:
            InputError: the path does not exist, holds no such file, or is one that cannot be read.
        """
        files = self._files()
        sidecars = read_sidecars(self._root, self._tenant)
        done: dict[str, list[int]] = json.loads(cursor) if cursor else {}
        pending, told = _Pending(), False
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
                    # size 0: not read to its end, so the file is taken up again
                    done[name] = [end, 0, 0]
                    yield pending.batch(sidecars.once(told), json.dumps(done))
                    pending, told = _Pending(), True
                start = end
            done[name] = [start, stat.st_size, stat.st_mtime_ns]
        if pending.rows or not told:
            yield pending.batch(sidecars.once(told), json.dumps(done))
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
            if path.name.lower().endswith(self._form.suffixes)
            and path.is_file()
            and not (path.parent == self._path and path.name in SIDECARS)
        )
        if not found:
            kinds = " or ".join(self._form.suffixes)
            raise InputError(f"there is no {kinds} file under {self._path}")
        return found

    def _parts(self, path: Path, name: str, start: int, sidecars: Sidecars) -> Iterator[tuple[Part, int]]:
        """What comes after line `start`; what is before is read too, for what it tells of the rest."""
        reader: TableReader | None = None
        try:
            for piece in self._form.pieces(path):
                if reader is None:
                    service, metric = service_and_metric(path)
                    reader = TableReader(
                        find_layout([column for column in piece.table.columns if column != "line"]),
                        tenant=self._tenant,
                        file=name,
                        service=service,
                        metric=metric,
                        describe=sidecars.describe,
                    )
                known = pl.col("line") <= start
                reader.read(piece.table.filter(known))
                if piece.end > start:
                    yield reader.read(piece.table.filter(~known)), piece.end
        except InputError as error:
            if path == self._path:
                raise InputError(f"{name}: {error}") from error
            # one file that cannot be read does not keep the others out
            row = {"row": json.dumps({"file": name}), "reason": str(error)}
            empty = pl.DataFrame(schema=SAMPLES)
            yield Part(series=(), samples=empty, rejected=pl.DataFrame([row], schema=REJECTED)), start
