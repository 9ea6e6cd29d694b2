"""Workers that are killed, kept, shared and stopped."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from fakes.chunks import busy, factorial, killed_once, kills_its_worker, process, waits

from core.errors import WorkerLostError
from pipelines.processes import worker_pool
from pipelines.processes.parallel import keeps_workers, kept_workers, map_chunks
from pipelines.processes.worker_pool import worker_pids


def test_the_chunk_of_a_killed_worker_is_computed_again(tmp_path: Path) -> None:
    chunks = [(tmp_path, number) for number in range(8)]
    assert list(map_chunks(killed_once, chunks, workers=2)) == list(range(8))
    assert (tmp_path / "killed").exists()


def test_a_chunk_that_kills_each_of_its_workers_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with kept_workers():
        results = map_chunks(kills_its_worker, [(tmp_path, number) for number in range(8)], workers=2)
        assert [next(results) for _ in range(3)] == [0, 1, 2], "only the chunk that kills has no result"
        with pytest.raises(
            WorkerLostError,
            match=r"each of 4 worker processes was killed .* lower FOREWARN_WORKERS",
        ):
            next(results)
        assert len(list(tmp_path.iterdir())) == 1 + worker_pool.REPEATS
        assert list(map_chunks(factorial, [3, 4], workers=2)) == [6, 24], "the workers go on"


def test_a_worker_that_is_killed_from_outside_while_others_wait_costs_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        spread = thread.submit(
            lambda: list(map_chunks(waits, [(tmp_path, number) for number in range(6)], workers=2))
        )
        wait_for_files(tmp_path, 2)
        victim = worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        (tmp_path / "go").touch()
        assert [number for number, _ in spread.result()] == list(range(6))
        assert len(list(tmp_path.glob("started *"))) == 7, "only what the killed one computed began twice"


def test_workers_are_kept_inside_the_block_and_end_with_it() -> None:
    with kept_workers():
        assert keeps_workers()
        before = set(map_chunks(process, range(8), workers=2))
        after = set(map_chunks(process, range(8), workers=2))
        kept = worker_pids()
        assert before | after <= set(kept)
        assert len(kept) == 2
    assert worker_pids() == []
    assert not keeps_workers()
    assert not any(psutil.pid_exists(pid) for pid in kept)


def test_the_chunk_of_a_number_goes_to_the_worker_that_had_it_before() -> None:
    with kept_workers():
        calls = [list(map_chunks(process, range(7), workers=2)) for _ in range(3)]
    assert calls[0] == calls[1] == calls[2]
    assert len(set(calls[0])) == 2


def test_without_the_block_workers_end_with_the_last_call_that_uses_them() -> None:
    first = map_chunks(process, range(8), workers=2)
    next(first)
    list(map_chunks(process, range(8), workers=2))
    assert len(worker_pids()) == 2
    list(first)
    assert worker_pids() == []


def test_a_caller_with_few_chunks_does_not_wait_for_all_of_a_caller_with_many(tmp_path: Path) -> None:
    with kept_workers(), ThreadPoolExecutor(2) as threads:
        many = threads.submit(
            lambda: list(map_chunks(waits, [(tmp_path, number) for number in range(40)], workers=2))
        )
        wait_for_files(tmp_path, 2)
        few = threads.submit(lambda: (list(map_chunks(factorial, [3, 4], workers=2)), time.monotonic()))
        (tmp_path / "go").touch()
        found, at = few.result()
        assert found == [6, 24]
        assert at < max(done for _, done in many.result())


def test_workers_do_not_end_with_the_thread_that_first_used_them() -> None:
    with kept_workers():
        found = []
        for _ in range(2):
            with ThreadPoolExecutor(1) as thread:
                found.append(thread.submit(lambda: list(map_chunks(process, range(4), workers=2))).result())
        assert found[0] == found[1]


def test_the_chunks_of_a_caller_that_gave_up_are_not_computed(tmp_path: Path) -> None:
    with kept_workers():
        results = map_chunks(waits, [(tmp_path, number) for number in range(20)], workers=2)
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(next, results)
            wait_for_files(tmp_path, 2)
            (tmp_path / "go").touch()
            assert first.result()[0] == 0
        results.close()  # type: ignore[attr-defined]
        assert list(map_chunks(factorial, [3, 4], workers=2)) == [6, 24]
        assert len(list(tmp_path.glob("started *"))) <= 6


def test_an_error_of_the_function_comes_with_the_traceback_of_the_worker() -> None:
    with pytest.raises(ValueError, match="negative") as caught:
        list(map_chunks(factorial, [1, -1, 2], workers=2))
    assert "in factorial" in "".join(caught.value.__notes__)


def test_an_error_that_cannot_be_sent_becomes_one_that_can() -> None:
    with pytest.raises(RuntimeError, match="RetryLaterError: come back later"):
        list(map_chunks(busy, [1, 2], workers=2))


def test_workers_ignore_the_interrupt_that_a_terminal_sends_to_all_processes(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        spread = thread.submit(
            lambda: list(map_chunks(waits, [(tmp_path, number) for number in range(2)], workers=2))
        )
        wait_for_files(tmp_path, 2)
        pids = worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        (tmp_path / "go").touch()
        assert [number for number, _ in spread.result()] == [0, 1]
        assert len(list(tmp_path.glob("started *"))) == 2, "no chunk was computed twice"


def wait_for_files(folder: Path, count: int) -> None:
    """Wait until so many chunks have started."""
    deadline = time.monotonic() + 30
    while len(list(folder.glob("started *"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
