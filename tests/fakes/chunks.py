"""Work for clusters: functions that another process can import, as Prefect's tasks must be."""

import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from core.errors import RetryLaterError


def factorial(number: int) -> int:
    return math.factorial(number)


def factorial_and_process(number: int) -> tuple[int, int]:
    """The factorial, and the process that computed it."""
    return math.factorial(number), os.getpid()


def polars_threads(_: int) -> int:
    """How many threads Polars has in the process that computes it."""
    return pl.thread_pool_size()


def process(_: object) -> int:
    """The process that computes it."""
    return os.getpid()


def busy(_: object) -> None:
    """Raise an error that pickle can write and not read."""
    raise RetryLaterError("come back later", datetime(2026, 1, 1, tzinfo=UTC))


def killed_once(chunk: tuple[Path, int]) -> int:
    """The number; the first process that has number 3 kills itself, and leaves a file in the folder."""
    folder, number = chunk
    if number == 3 and not (killed := folder / "killed").exists():
        killed.write_text(str(os.getpid()))
        os.kill(os.getpid(), 9)
    return number


def kills_its_worker(chunk: tuple[Path, int]) -> int:
    """The number; each process that has number 3 kills itself, and leaves a file in the folder."""
    folder, number = chunk
    if number == 3:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), 9)
    return number


def waits(chunk: tuple[Path, int]) -> tuple[int, float]:
    """The number, and when it was computed; waits until the folder has a file `go`."""
    folder, number = chunk
    (folder / f"started {number} by {os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return number, time.monotonic()
