"""Files of any format as a source of metrics.

The cursor remembers for each file how many lines were read. A file that has grown is read from there. A file that has
changed otherwise is read again from its start; this is safe, because the store keeps each value once.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from core.batch import Batch
from core.domain import Series, stable_id
from core.errors import InputError
from core.frames import SAMPLES
from core.storable import NAME_BYTES
from pipelines.sources.columns import find_columns
from pipelines.sources.dialect import FileChunk, FileOptions, find_notation
from pipelines.sources.file_names import service_and_metric
from pipelines.sources.sidecars import SIDECARS, Sidecars, read_sidecars
from pipelines.sources.tables import READ, ParsedTable, TableNames, TableReader
from pipelines.sources.text_files import is_text
from pipelines.stores.dead_letters import REJECTED

#: Small files share a batch of up to this size, because a transaction costs as much as thousands of rows.
BATCH_ROWS = 250_000
#: So many files of a kind are named in the report; of more, the number is.
MAX_NAMED_FILES = 10
#: By its first bytes a file is recognised after it has grown.
_HEAD_BYTES = 4096


class FileFormat(Protocol):
    """Reads one format of files.

    Attributes:
        kind: how people call a file of the format.
        suffixes: ends of the names of its files, in lower case.
    """

    name: str
    kind: str
    suffixes: tuple[str, ...]

    def chunks(self, path: Path) -> Iterator[FileChunk]:
        """The chunks of a file from its start; they are the same each time.

        Raises:
            InputError: the file does not have this format, or ends too early.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far one file was read.

    Attributes:
        size, mtime_ns: of the file when it was read to its end; 0: it was not.
        options: with which it was read.
        samples: how many samples and counts were found.
        head: hash of its first bytes.
    """

    lines: int = 0
    size: int = 0
    mtime_ns: int = 0
    options: str = ""
    samples: int = 0
    head: str = ""


@dataclass(slots=True)
class _Part:
    """What one chunk of a file gave.

    Attributes:
        end: the number of its last line.
        is_whole: false when reading failed.
    """

    table: ParsedTable
    end: int
    notes: tuple[str, ...] = ()
    is_whole: bool = True


@dataclass(slots=True)
class _Pending:
    """What was read since the last batch."""

    series: dict[int, Series] = field(default_factory=dict)
    samples: list[pl.DataFrame] = field(default_factory=list)
    counts: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    already_read: int = 0
    rows: int = 0

    def add(self, part: ParsedTable, file: str) -> None:
        self.series.update({series.series_id: series for series in part.series})
        self.samples.append(part.samples.with_columns(file=pl.lit(file)))
        self.counts.append(part.counts.with_columns(file=pl.lit(file)))
        self.rejected.append(part.rejected)
        self.rows += part.found + part.rejected.height

    def batch(self, sidecars: Sidecars, cursor: str) -> Batch:
        rejected = [*self.rejected, sidecars.rejected]
        none = pl.DataFrame(schema={**READ, "file": pl.String})
        samples, counts = pl.concat([none, *self.samples]), pl.concat([none, *self.counts])
        return Batch(
            series=tuple(self.series.values()),
            samples=samples.select(*SAMPLES),
            counts=counts.select(*SAMPLES),
            origins=pl.concat([samples, counts]),
            rejected=pl.concat(rejected),
            events=sidecars.events,
            incidents=sidecars.incidents,
            declarations=sidecars.declarations,
            notes=(*self.notes, *sidecars.notes),
            already_read=self.already_read,
            cursor=cursor,
        )


class FileSource:
    """A file, or all files of a format under a folder (`core.ports.MetricSource`)."""

    def __init__(self, path: Path, *, tenant: str, file_format: FileFormat, options: FileOptions) -> None:
        self._path = path.absolute()
        self._tenant = tenant
        self._format = file_format
        self._options = options

    @property
    def name(self) -> str:
        name = f"{self._format.name}:{self._path}"
        encoded = name.encode("utf-8", "backslashreplace")
        if len(encoded) <= NAME_BYTES:
            return encoded.decode()
        return f"{encoded[: NAME_BYTES - 40].decode(errors='ignore')}...{stable_id(encoded.decode())}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """Everything new since `cursor`, ordered by the names of the files.

        A file that cannot be read becomes a rejected row and a note; it keeps no other file out.

        Raises:
            InputError: the path does not exist, or has no file of the format; or `series.csv` is not valid.
        """
        files, skipped = self._files()
        sidecars = read_sidecars(self._root, self._tenant)
        done = _read_cursor(cursor)
        pending, first = _Pending(notes=skipped), True
        for path in files:
            name = _file_name(path, self._root)
            try:
                stat = path.stat()
                head = _head(path, done.get(name, _Progress()).size or stat.st_size)
            except OSError as error:
                pending.add(_unreadable(name, f"cannot be read: {error.strerror}"), name)
                pending.notes.append(f"{name}: cannot be read: {error.strerror}")
                continue
            known = done.get(name, _Progress())
            now = replace(known, size=stat.st_size, mtime_ns=stat.st_mtime_ns, options=self._options.key)
            if known.size and known.samples and replace(now, head=known.head) == known:
                pending.already_read += known.samples
                continue
            # A file with other first bytes is another file of the same name.
            is_grown = stat.st_size > known.size and now.options == known.options and known.head in {"", head}
            at = replace(
                known if is_grown else _Progress(), options=now.options, size=0, mtime_ns=0, head=head
            )
            pending.already_read += at.samples
            is_whole = True
            for part in self._parts(path, name, at.lines, sidecars):
                pending.add(part.table, name)
                pending.notes += [f"{name}: {note}" for note in part.notes]
                at = replace(at, lines=part.end, samples=at.samples + part.table.found)
                is_whole &= part.is_whole
                if pending.rows >= BATCH_ROWS:
                    # size 0: the file was not read to its end, so the next pull continues with it
                    done[name] = at
                    yield pending.batch(sidecars if first else sidecars.descriptions_only, _cursor(done))
                    pending, first = _Pending(), False
            # A file that could not be read is tried again the next time.
            if is_whole:
                at = replace(at, size=now.size, mtime_ns=now.mtime_ns, head=_head(path, now.size))
            done[name] = at
        if pending.rows or pending.notes or pending.already_read or first:
            yield pending.batch(sidecars if first else sidecars.descriptions_only, _cursor(done))
        elif (now_at := _cursor(done)) != cursor:
            yield Batch(cursor=now_at)

    @property
    def _root(self) -> Path:
        return self._path if self._path.is_dir() else self._path.parent

    def _files(self) -> tuple[list[Path], list[str]]:
        """The files of the format, and a note about the others."""
        if self._path.is_file():
            return [self._path], []
        if not self._path.is_dir():
            raise InputError(f"{self._path} does not exist")
        found: list[Path] = []
        skipped: list[Path] = []
        for path in sorted(self._path.rglob("*")):
            is_sidecar = path.parent == self._path and path.name.lower() in SIDECARS
            if path.is_dir() or is_sidecar:
                continue
            is_ours = path.name.lower().endswith(self._format.suffixes) and path.is_file()
            (found if is_ours else skipped).append(path)
        if not found:
            raise InputError(f"there is no {self._format.kind} under {self._path}")
        return found, self._skipped(skipped)

    def _skipped(self, paths: list[Path]) -> list[str]:
        by_suffix: dict[str, list[str]] = defaultdict(list)
        notes = []
        for path in paths:
            name = _file_name(path, self._root)
            if path.is_file():
                by_suffix[path.suffix.lower()].append(name)
            else:  # reading a pipe would wait for ever
                notes.append(f"{name}: skipped, because it is no file but a pipe, a device or a broken link")
        for suffix, names in by_suffix.items():
            if len(names) <= MAX_NAMED_FILES:
                notes += [f"{name}: skipped, because it is no {self._format.kind}" for name in names]
            else:
                notes.append(
                    f"{len(names)} files '*{suffix}': skipped, because they are no {self._format.kind}"
                )
        return notes

    def _parts(self, path: Path, name: str, start: int, sidecars: Sidecars) -> Iterator[_Part]:
        """What comes after line `start`. The lines before are read too, because steps and units depend on them."""
        reader: TableReader | None = None
        end = start
        try:
            chunks = self._format.chunks(path)
            for chunk in chunks:
                if not chunk.table.width:
                    yield _Part(ParsedTable(), end, chunk.notes)
                    continue
                left_out: tuple[str, ...] = ()
                if reader is None:
                    reader, left_out = self._reader(path, name, chunk, sidecars)
                known = chunk.lines <= start
                if known.any():
                    reader.read(chunk.filter(known))
                if chunk.end > start:
                    end = chunk.end
                    yield _Part(reader.read(chunk.filter(~known)), end, (*chunk.notes, *left_out))
        except InputError as error:
            # A file that cannot be read must not keep the others out.
            yield _Part(_unreadable(name, str(error)), end, (str(error),), is_whole=False)

    def _reader(
        self, path: Path, name: str, first: FileChunk, sidecars: Sidecars
    ) -> tuple[TableReader, tuple[str, ...]]:
        """The reader of a file, from its first chunk; and which columns it leaves out."""
        columns = find_columns(first.table)
        notation = find_notation(columns, first, self._options, lambda: self._format.chunks(path))
        service, metric = service_and_metric(path)
        if not is_text(service + metric):
            raise InputError("the name of the file is not encoded in UTF-8; rename the file")
        names = TableNames(tenant=self._tenant, file=name, service=service, metric=metric)
        reader = TableReader(columns, names, notation=notation, describe=sidecars.describe)
        return reader, columns.left_out


def _read_cursor(cursor: str | None) -> dict[str, _Progress]:
    # A cursor of an earlier version also has counters, under an empty name.
    return {name: _Progress(*progress) for name, progress in json.loads(cursor or "{}").items() if name}


def _cursor(done: dict[str, _Progress]) -> str:
    return json.dumps({name: astuple(progress) for name, progress in done.items()})


def _file_name(path: Path, root: Path) -> str:
    """The path of a file below the root; bytes that are no text are written as escapes."""
    return path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()


def _head(path: Path, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.blake2b(file.read(min(size, _HEAD_BYTES)), digest_size=8).hexdigest()


def _unreadable(name: str, reason: str) -> ParsedTable:
    rows = [{"row": json.dumps({"file": name}), "reason": reason}]
    return ParsedTable(rejected=pl.DataFrame(rows, schema=REJECTED))
