"""Turns a full or read-only disk into one sentence that names the folder, the problem and the remedy."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import StorageError, UnavailableError
from core.settings import Settings

_MB = 1_000_000
#: PostgreSQL stops when it cannot create the next file of its write-ahead log, which has 16 MB.
_POSTGRES_NEEDS = 17 * _MB
#: With less, SQLite and the files of a model fail.
_OTHERS_NEED = _MB
_FULL = "the disk of {} is full. Free space on it"
_READ_ONLY = "{} is on a read-only file system. Make it writable"
_FORBIDDEN = "{} cannot be used: permission denied. Run as its owner, or change its permissions"
_SENTENCES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that Forewarn writes to, and the variable that names it."""

    path: Path
    variable: str
    needs: int

    def problem(self) -> str | None:
        """The sentence of this folder; null if it can be written."""
        path = _existing(self.path)
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return _READ_ONLY
        return _FULL if shutil.disk_usage(path).free < self.needs else None

    def holds(self, path: Path) -> bool:
        return path.is_relative_to(self.path)


@contextmanager
def storage_errors(settings: Settings) -> Iterator[None]:
    """Within this block, a full, read-only or forbidden folder is a `StorageError`.

    A database reports its full disk in many ways, such as by stopping. So the disks are also looked at when a server
    fails.

    Raises:
        StorageError: see above; the text names the folder, the problem and the remedy.
    """
    try:
        yield
    except OSError as error:
        sentence = storage_sentence(error, settings)
        if sentence is None:
            raise
        raise StorageError(sentence) from error
    except UnavailableError as error:
        for folder in _folders(settings):
            if problem := folder.problem():
                raise StorageError(f"{_complete(problem, folder.path, folder)} ({error})") from error
        raise


def storage_sentence(error: OSError, settings: Settings) -> str | None:
    """The sentence for an error of the file system; null if it is about something else."""
    template = _SENTENCES.get(error.errno or 0)
    if template is None:
        return None
    folders = _folders(settings)
    if error.filename is not None:
        path = Path(os.fsdecode(error.filename)).absolute()
        return _complete(template, path, next((one for one in folders if one.holds(path)), None))
    # A write does not name its file. The disk that has least space is the full one.
    fullest = min(folders, key=lambda one: shutil.disk_usage(_existing(one.path)).free - one.needs)
    return _complete(template, fullest.path, fullest)


def _folders(settings: Settings) -> list[_Folder]:
    embedded = settings.database_url is None
    folders = [
        _Folder(
            settings.data_dir.absolute(), "FOREWARN_DATA_DIR", _POSTGRES_NEEDS if embedded else _OTHERS_NEED
        )
    ]
    if settings.mlflow_tracking_uri is None:
        folders.append(_Folder(settings.mlruns_dir.absolute(), "FOREWARN_MLRUNS_DIR", _OTHERS_NEED))
    return [*folders, _Folder(Path(tempfile.gettempdir()), "TMPDIR", _OTHERS_NEED)]


def _complete(template: str, path: Path, folder: _Folder | None) -> str:
    other = "choose another place" if folder is None else f"set {folder.variable} to another folder"
    return f"{template.format(path)}, or {other}; then run this again"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
