"""Chunks keep their order, here and in spawned processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_sets import ROOT
from fakes.chunks import factorial, polars_threads

from core.errors import ConfigurationError
from pipelines.processes.parallel import Compute, chunked, map_chunks


def test_chunks_hold_everything_in_order() -> None:
    assert list(chunked([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunked([], 3)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_chunks(workers: int) -> None:
    assert list(map_chunks(factorial, [1, 2, 3, 4], workers=workers)) == [1, 2, 6, 24]


def test_chunks_are_taken_only_as_workers_get_to_them() -> None:
    taken: list[int] = []

    def chunks() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    results = map_chunks(factorial, chunks(), workers=2)
    assert next(results) == 1
    assert len(taken) < 8
    assert len(list(results)) == 39


def test_a_worker_has_one_thread_of_polars_and_the_environment_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    assert list(map_chunks(polars_threads, [0, 0], workers=2)) == [1, 1]
    assert "POLARS_MAX_THREADS" not in os.environ
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")
    assert list(map_chunks(polars_threads, [0, 0], workers=2)) == [2, 2]


@pytest.mark.slow
@pytest.mark.timeout(900)  # each worker imports Prefect and starts its own client: minutes on a busy machine
@pytest.mark.parametrize("compute", ["dask", "ray"])
def test_clusters_give_what_processes_give(compute: Compute, tmp_path: Path) -> None:
    pytest.importorskip(f"prefect_{compute}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPREAD.format(compute=compute, folder=tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["values"] == [[1, 2, 6, 24], [1, 2, 6, 24]], "two threads share the cluster"
    assert report["elsewhere"], "all chunks ran in the process that submitted them"
    assert report["after_a_kill"] == list(range(8))
    assert "4 worker processes" in report["kills_each"]


#: In a process of its own, prepared as the commands do it: clusters leave threads, sockets and warnings behind.
SPREAD = """
import json, os
from core.settings import Settings
from flows.environment import prepare_prefect
prepare_prefect(Settings(data_dir="{folder}"))
from pathlib import Path
from pipelines.processes.parallel import kept_workers, map_chunks
from concurrent.futures import ThreadPoolExecutor
from core.errors import WorkerLostError
from fakes.chunks import factorial_and_process, killed_once, kills_its_worker
folder = Path("{folder}")
def spread(chunks):
    return list(map_chunks(factorial_and_process, chunks, workers=2, compute="{compute}"))
def kill(function):
    return list(map_chunks(function, [(folder, n) for n in range(8)], workers=2, compute="{compute}"))
if __name__ == "__main__":
    with kept_workers():
        with ThreadPoolExecutor(2) as threads:
            results = list(threads.map(spread, [[1, 2, 3, 4]] * 2))
        after_a_kill = kill(killed_once)
        try:
            kills_each = kill(kills_its_worker)
        except WorkerLostError as error:
            kills_each = str(error)
    print(json.dumps({{
        "after_a_kill": after_a_kill,
        "kills_each": kills_each,
        "values": [[value for value, _ in of_thread] for of_thread in results],
        "elsewhere": os.getpid() not in {{process for of_thread in results for _, process in of_thread}},
    }}))
"""


def test_a_cluster_that_is_not_installed_gives_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(ConfigurationError, match="needs prefect-dask"):
        list(map_chunks(factorial, [1, 2], workers=2, compute="dask"))
