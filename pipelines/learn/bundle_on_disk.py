"""A bundle on the local disk during training, so that memory does not grow with the fleet."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from models.forecast.entry import Entry
from models.forecast.files import PART, part_files, read_part


class BundleOnDisk(Mapping[str, bytes]):
    """The files of a bundle. Parts are written as entries are added, and a file is read only when it is requested.

    Args:
        folder: created here; the caller deletes it.
    Attributes:
        parts: how many parts were written.
        series_ids: of the entries that were added.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._waiting: list[Entry] = []
        self.parts = 0
        self.series_ids: list[int] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries; a part is written as soon as it is full."""
        for entry in entries:
            self._waiting.append(entry)
            self.series_ids.append(entry.series.series_id)
        while len(self._waiting) >= PART:
            self._write(PART)

    def close(self) -> None:
        """Write the last entries; before that they cannot be read."""
        if self._waiting:
            self._write(PART)

    def entries(self) -> Iterator[Entry]:
        """All entries in the order in which they were added; one part is in memory at a time."""
        for number in range(self.parts):
            yield from read_part(number, self)

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Write further files of the bundle beside the parts."""
        for name, content in files.items():
            (self._folder / name).write_bytes(content)

    def _write(self, count: int) -> None:
        part, self._waiting = self._waiting[:count], self._waiting[count:]
        self.keep(part_files(self.parts, part))
        self.parts += 1

    def __getitem__(self, name: str) -> bytes:
        path = self._folder / name
        if not path.is_file():
            raise KeyError(name)
        return path.read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.name for path in self._folder.iterdir()))

    def __len__(self) -> int:
        return sum(1 for _ in self)
