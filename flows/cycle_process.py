"""Keeps a process with the watch cycles running beside the schedules of Prefect."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from pipelines.processes.end_with_parent import guarded

#: A process that ended is started again after so long.
AGAIN_S = 5.0
#: A cycle that runs may end in this time; one that is killed is made up for by the next one.
_GRACE_S = 20.0


@contextmanager
def cycle_process(tenants: Sequence[str]) -> Iterator[None]:
    """Run `forewarn flows cycles` as long as the block; a process that ends is started again."""
    command = [sys.executable, "-m", "flows.cli", "flows", "cycles"]
    for tenant in tenants:
        command += ["--tenant", tenant]
    stop = Event()
    keeper = Thread(target=_keep, args=(command, stop), name="cycles", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def _keep(command: Sequence[str], stop: Event) -> None:
    while not stop.is_set():
        process = subprocess.Popen(guarded(command, os.getpid()), stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        while process.poll() is None and not stop.wait(0.2):
            pass
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        stop.wait(AGAIN_S)
