"""A real file system of a few megabytes, which a test fills or makes read-only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """The file system is mounted at `path`."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, leave: int) -> None:
        """Leave only so many bytes."""
        left = shutil.disk_usage(self.path).free - leave
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, left)

    def free(self) -> None:
        """Make space again."""
        self._ballast.unlink()

    def read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def is_empty(self) -> bool:
        return {path.name for path in self.path.iterdir()} <= {"ballast"}


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a file system; the test is skipped where that is not allowed, as it needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process of the test may still end.
        subprocess.run(["umount", "--lazy", folder], check=True)
