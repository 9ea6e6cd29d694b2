"""Each job is done by one process at a time for a tenant; another one waits for a while, and then ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from core.errors import BusyError
from core.locks import HeldLock
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform

P = ParamSpec("P")
R = TypeVar("R")

#: How long a process waits for another one that does the same job.
WAIT_S = 30.0


@contextmanager
def alone(platform: Platform, lock: str, progress: Progress = silent) -> Iterator[HeldLock]:
    """Do a job while no other process does it for this tenant.

    Args:
        lock: its name, see `core.locks`.
    Raises:
        BusyError: another process did the job for longer than `WAIT_S`; nothing was done.
    """
    locks = platform.store.locks
    if owner := locks.owners([lock]):
        progress(f"wait for {owner[0].owner}", 0, 0)
    try:
        with locks.hold(lock, wait_s=WAIT_S) as held:
            yield held
    except BusyError as error:
        raise BusyError(f"{error}. It does the same job; run this again when it has ended") from error


def one_at_a_time(
    lock: str,
) -> Callable[[Callable[Concatenate[Platform, P], R]], Callable[Concatenate[Platform, P], R]]:
    """Make a pipeline function hold a lock while it runs; `lock` as of `alone`."""

    def decorate(function: Callable[Concatenate[Platform, P], R]) -> Callable[Concatenate[Platform, P], R]:
        @wraps(function)
        def locked(platform: Platform, /, *args: P.args, **kwargs: P.kwargs) -> R:
            progress: Any = kwargs.get("progress", silent)
            with alone(platform, lock, progress):
                return function(platform, *args, **kwargs)

        return locked

    return decorate
