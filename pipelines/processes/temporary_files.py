"""Temporary files of this process, in a folder of its own that is removed after it, however the process dies."""

import fcntl
import os
import shutil
import tempfile
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

_PREFIX = "forewarn-process-"
#: Lower than the priority with which multiprocessing removes its own temporary folder, which is in this one.
_LAST = -1_000


@cache
def own_temporary_folder() -> Path:
    """Put the temporary files of this process, libraries included, into a folder that ends with it.

    A killed process cannot remove its files, which can be as large as a bundle of models. So each process also removes
    the folders of those that are gone: nobody holds their lock.
    """
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_PREFIX}*"):
        if (handle := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        # Another process may have taken the new folder for one that was left behind.
        if _lock(folder) is not None and folder.exists():
            break
    tempfile.tempdir = str(folder)
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=_LAST)
    return folder


def _lock(folder: Path) -> int | None:
    """Lock a folder until this process ends; null if another process holds the lock, or the folder is not ours."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
