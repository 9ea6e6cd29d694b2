"""The memory that this process and its workers use."""

import os
from contextlib import suppress

import psutil

from pipelines.processes.worker_pool import worker_pids


def memory_bytes() -> int:
    """The memory of this process, or of its largest worker if that needs more.

    The kernel's peak would not do: it counts what was before `exec`.
    """
    largest = 0
    for pid in (os.getpid(), *worker_pids()):
        with suppress(psutil.NoSuchProcess):
            largest = max(largest, psutil.Process(pid).memory_info().rss)
    return largest
