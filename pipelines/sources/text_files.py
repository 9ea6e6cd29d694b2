"""Text files as lines: compressed or not, in any known encoding, with any kind of line end.

Compression and encoding are recognised by the content and not by the name of the file. No character is ever replaced:
bytes that are no text stay recognisable (`is_text`), so that the reader can reject the line that has them.
"""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from core.errors import InputError

#: About 250,000 rows.
CHUNK_BYTES = 8_000_000
#: No row of metrics is longer. Without a limit, a file without line ends would be read into memory as one line.
MAX_LINE_CHARACTERS = 4_000_000
#: A decompression bomb is a small file that expands without end. Metrics shrink to a tenth, at most to a hundredth.
MAX_EXPANSION = 300
#: Below this size no expansion does harm.
HARMLESS_BYTES = 64_000_000
#: So many bytes decide on the encoding and on the kind of line end.
_HEAD_BYTES = 64_000

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a file, each with its line end; the last line of a finished file may have none."""

    text: str
    is_last: bool


class TextFile:
    """The text of an open file.

    Attributes:
        encoding: as Python names it.
        is_finished: nobody writes to the file any more.
        cut_line: what follows the last line end, if it was not read; empty until all blocks are read.
    """

    def __init__(self, stream: BinaryIO, head: bytes, encoding: str, *, is_finished: bool) -> None:
        self._stream = stream
        self._head = head
        self.encoding = encoding
        self.is_finished = is_finished
        self.cut_line = ""

    def blocks(self) -> Iterator[Block]:
        """The file in blocks of whole lines, from its start.

        A last line without a line end is read if the file is finished; otherwise it may be cut and stays in `cut_line`.

        Raises:
            InputError: a line is too long, or the bytes do not have the encoding.
        """
        # Bytes that are no text become surrogates, which no text contains.
        errors = "surrogateescape" if self.encoding.startswith("utf-8") else "strict"
        errors = "surrogatepass" if self.encoding.startswith(("utf-16", "utf-32")) else errors
        decoder = codecs.getincrementaldecoder(self.encoding)(errors)
        line_end: str | None = None
        rest, data = "", self._head
        try:
            while data:
                rest += decoder.decode(data)
                line_end = line_end or _line_end(rest)
                following = self._stream.read(CHUNK_BYTES)
                end = rest.rfind(line_end) + 1 if line_end else 0
                if end:
                    yield Block(rest[:end], is_last=not following and end == len(rest))
                    rest = rest[end:]
                if len(rest) > MAX_LINE_CHARACTERS:
                    raise InputError(f"a line has more than {MAX_LINE_CHARACTERS:,} characters")
                data = following
            if self.is_finished:
                rest += decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise InputError(
                f"the file is not encoded in {self.encoding}: {error.reason}. Give its encoding with --encoding"
            ) from error
        if rest and self.is_finished:
            yield Block(rest, is_last=True)
        elif rest:
            self.cut_line = rest


def is_text(text: str) -> bool:
    """Whether all bytes of `text` could be decoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def open_text(path: Path, *, encoding: str | None = None, is_complete: bool = False) -> Iterator[TextFile]:
    """Open a text file, decompressed.

    Args:
        encoding: null: a byte order mark, the pattern of UTF-16, or else UTF-8.
        is_complete: nobody writes to the file any more. A compressed file always is.
    Raises:
        InputError: the file cannot be read, is damaged or cut, or expands too much.
    """
    if encoding is not None:
        try:
            encoding = codecs.lookup(encoding).name
        except LookupError as error:
            raise InputError(
                f"there is no encoding {encoding!r}; use a name such as utf-8 or cp1252"
            ) from error
    try:
        with path.open("rb") as file:
            magic = file.read(8)
            file.seek(0)
            if magic.startswith(b"PAR1"):
                raise InputError("is a Parquet file; read it with `forewarn ingest parquet`")
            kind = next((kind for start, kind in _MAGIC.items() if magic.startswith(start)), None)
            with _decompressed(file, kind) as stream:
                head = stream.read(min(_HEAD_BYTES, CHUNK_BYTES))
                yield TextFile(
                    stream,
                    head,
                    encoding or _encoding_of(head),
                    is_finished=is_complete or kind is not None,
                )
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise InputError(f"is damaged or cut: {error}") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}") from error


@contextmanager
def _decompressed(file: BinaryIO, kind: str | None) -> Iterator[BinaryIO]:
    if kind is None:
        yield file
        return
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if kind == "zip":
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if any(name.startswith(("xl/", "content.xml")) for name in names):
                raise InputError("is a spreadsheet; save it as CSV and ingest that")
            if len(names) != 1:
                raise InputError(f"is an archive of {len(names)} files; unpack it and ingest the folder")
            try:
                member = archive.open(names[0])
            except RuntimeError as error:  # a password, or a method that Python does not have
                raise InputError(f"cannot be unpacked: {error}") from error
            with member:
                yield cast(BinaryIO, _Limited(cast(BinaryIO, member), size))
        return
    if kind == "zstd":
        stream = cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
    elif kind == "gzip":
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
    elif kind == "bzip2":
        stream = cast(BinaryIO, bz2.BZ2File(file))
    else:
        stream = cast(BinaryIO, lzma.LZMAFile(file))  # noqa: SIM115 - closed with its file
    yield cast(BinaryIO, _Limited(stream, size))


class _Limited:
    """Reads a decompressed stream, and stops when it expands too much."""

    def __init__(self, stream: BinaryIO, compressed_bytes: int) -> None:
        self._stream = stream
        self._limit = max(HARMLESS_BYTES, MAX_EXPANSION * compressed_bytes)
        self._bytes = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._bytes += len(data)
        if self._bytes > self._limit:
            raise InputError(
                f"expands to more than {MAX_EXPANSION} times its size; if it is no attack, unpack it and ingest that"
            )
        return data


def _encoding_of(head: bytes) -> str:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    # A header is written in ASCII: in UTF-16 without a mark, every second byte of it is 0.
    start = head[:16]
    even, odd = start[0::2], start[1::2]
    if len(start) >= 4 and odd and not any(odd) and all(even):
        return "utf-16-le"
    if len(start) >= 4 and even and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8"


def _line_end(text: str) -> str | None:
    if "\n" in text:
        return "\n"
    # A carriage return at the very end may be the first half of CR LF.
    return "\r" if "\r" in text[:-1] else None
