"""A process that stays runs the cycles of several tenants: none waits for another, and too much memory ends it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from core.errors import UnavailableError
from flows.cycle_worker import CycleWorker
from flows.watch_loop import WatchLoop

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Loop:
    """A loop whose cycles are counted; the first one waits for `begins`."""

    sleep: Callable[[float], object]
    ends: Callable[[], bool]
    begins: Event = field(default_factory=Event)
    cycles: int = 0
    fails: bool = False

    def run(self, cycles: int | None = None) -> None:
        assert self.begins.wait(10)
        if self.fails:
            raise UnavailableError("the database does not answer")
        while cycles is None or self.cycles < cycles:
            self.cycles += 1
            self.sleep(0.01)
            if self.ends():
                return


def worker_of(
    *loops: dict[str, Any], memory: Callable[[], int] = lambda: 0
) -> tuple[CycleWorker, list[Loop]]:
    made: list[Loop] = []

    def make(options: dict[str, Any], **arguments: Any) -> WatchLoop:
        made.append(Loop(**arguments, **options))
        return cast(WatchLoop, made[-1])

    return CycleWorker([partial(make, one) for one in loops], limit_bytes=100, memory=memory), made


def begun() -> Event:
    event = Event()
    event.set()
    return event


def test_a_tenant_does_not_wait_for_another_one() -> None:
    slow = Event()
    worker, (large, small) = worker_of({"begins": slow}, {"begins": begun()}, memory=lambda: 0)
    original = small.run

    def run(cycles: int | None = None) -> None:
        original(cycles)
        assert large.cycles == 0
        slow.set()

    small.run = run  # type: ignore[method-assign]
    assert worker.run(3) is False
    assert (large.cycles, small.cycles) == (3, 3)


def test_with_too_much_memory_all_end_before_their_next_cycle() -> None:
    needed = iter([50, 80, 120])
    worker, loops = worker_of({"begins": begun()}, {"begins": begun()}, memory=lambda: next(needed, 120))
    assert worker.run() is True
    assert all(1 <= loop.cycles <= 3 for loop in loops)


def test_an_error_that_a_loop_does_not_handle_ends_all() -> None:
    worker, (_, other) = worker_of({"begins": begun(), "fails": True}, {"begins": begun()})
    with pytest.raises(UnavailableError):
        worker.run()
    assert other.cycles >= 1


def test_a_worker_that_is_told_to_stop_ends_after_its_cycle_and_is_not_replaced() -> None:
    worker, (loop,) = worker_of({"begins": begun()}, memory=lambda: 120)
    worker.stop()
    assert worker.run() is False
    assert loop.cycles == 1


AGAIN = """
import os, sys
from flows.cycle_worker import memory_bytes
if len(sys.argv) == 1:
    large = bytearray(300 * 2**20)
    print(memory_bytes(), flush=True)
    os.execv(sys.executable, [*sys.orig_argv, "again"])
print(memory_bytes())
"""


def test_a_process_that_starts_anew_begins_with_little_memory(tmp_path: Path) -> None:
    script = tmp_path / "again.py"
    script.write_text(AGAIN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before - after > 250 * 2**20
