"""Workers are killed in a cycle and in a training: the results are those of one process, and none comes twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from data_sets import ROOT
from servers.disks import (
    NOW,
    cycle,
    forget,
    found,
    in_each_step,
    platform_at,
    settings_of,
    train,
    train_detector,
    write_disks,
)
from servers.postgres import embedded_server, fresh_database

from core.domain import ModelRef
from core.settings import Settings
from models.breach.bundle import BreachBundle
from pipelines.learn.train_detectors import train_detectors
from pipelines.processes.parallel import kept_workers
from pipelines.processes.worker_platform import load_version
from pipelines.processes.worker_pool import worker_pids
from pipelines.stores.migrate import migrate
from pipelines.stores.mlflow_registry import MlflowRegistry


@dataclass(frozen=True)
class Fleet:
    """The disks, the version that one process trained, and what its cycle stored."""

    dsn: str
    alone: Settings
    workers: Settings
    model: ModelRef
    stored: dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("disks")
    with embedded_server() as server, fresh_database(server) as dsn:
        migrate(dsn)
        alone, workers = (settings_of(dsn, home, workers=count) for count in (1, 2))
        with platform_at(alone) as platform:
            write_disks(platform)
        train_detector(alone)
        model = train(alone)
        report = cycle(alone)
        assert len(report.signals) == 4
        yield Fleet(dsn, alone, workers, model, found(dsn))


@pytest.fixture
def killed() -> list[int]:
    return []


@pytest.fixture
def kill_one(killed: list[int]) -> Any:
    """A listener that kills one of the workers when the first part of a step is done."""

    def kill() -> None:
        killed.append(next(pid for pid in worker_pids() if pid not in killed))
        os.kill(killed[-1], signal.SIGKILL)

    return in_each_step(kill)


def test_a_cycle_with_two_workers_gives_what_one_process_gives(fleet: Fleet) -> None:
    forget(fleet.dsn)
    with kept_workers():
        cycle(fleet.workers)
        assert len(worker_pids()) == 2
    assert found(fleet.dsn) == fleet.stored


def test_a_worker_that_is_killed_in_a_cycle_changes_nothing(
    fleet: Fleet, kill_one: Any, killed: list[int]
) -> None:
    forget(fleet.dsn)
    with kept_workers():
        cycle(fleet.workers, kill_one)
        assert found(fleet.dsn) == fleet.stored
        assert len(killed) == 2, "one while the cycle detects, another one while it forecasts"
        assert not set(killed) & set(worker_pids())
        again = cycle(fleet.workers)
        assert found(fleet.dsn) == fleet.stored, "the same cycle again changes nothing either"
    assert len(again.signals) == 4


def test_a_worker_that_is_killed_in_a_training_changes_nothing(
    fleet: Fleet, kill_one: Any, killed: list[int]
) -> None:
    assert train(fleet.workers, kill_one) == fleet.model, "a bundle with other files would be a new version"
    assert len(killed) == 2, "one in each step of the training"


def test_a_process_with_workers_does_not_read_their_models(fleet: Fleet) -> None:
    load, read = MlflowRegistry.load, []

    def recorded(registry: MlflowRegistry, kind: str, alias: str = "champion", names: Any = ()) -> Any:
        read.append((kind, set(names)))
        return load(registry, kind, alias, names)

    forget(fleet.dsn)
    with kept_workers(), patch.object(MlflowRegistry, "load", recorded):
        cycle(fleet.workers)
    fleets = {
        ("detector", frozenset({"bundle.json"})),
        ("forecaster", frozenset({"bundle.json", "breaches.json"})),
    }
    assert {(kind, frozenset(names)) for kind, names in read} >= fleets
    assert all(names for _, names in read)


def test_a_step_begins_again_when_a_new_worker_finds_another_version(fleet: Fleet) -> None:
    with platform_at(fleet.alone, NOW - timedelta(hours=24)) as platform:
        first, second = platform.registry.resolve("detector"), train_detectors(platform).model
        assert first is not None
        assert first != second
        platform.registry.promote(second)
    forget(fleet.dsn)
    cycle(fleet.alone)
    wanted = found(fleet.dsn)
    forget(fleet.dsn)
    with platform_at(fleet.alone) as platform:
        platform.registry.promote(first)

        def promote_and_kill() -> None:
            platform.registry.promote(second)
            os.kill(worker_pids()[0], signal.SIGKILL)

        with kept_workers():
            cycle(fleet.workers, in_each_step(promote_and_kill))
        platform.registry.promote(first)
    assert found(fleet.dsn) == wanted


def test_a_worker_does_not_compute_with_another_version(fleet: Fleet) -> None:
    older = ModelRef(name=fleet.model.name, version=fleet.model.version - 1, run_id="older")
    with platform_at(fleet.alone) as platform:
        assert load_version(platform, "forecaster", BreachBundle.from_files, older) is None
        assert load_version(platform, "forecaster", BreachBundle.from_files, fleet.model) is not None


@pytest.mark.slow
@pytest.mark.timeout(900)  # each worker imports Prefect and starts its own client: minutes on a busy machine
@pytest.mark.parametrize("compute", ["dask", "ray"])
def test_a_worker_of_a_cluster_that_is_killed_changes_nothing(
    fleet: Fleet, compute: str, tmp_path: Path
) -> None:
    pytest.importorskip(f"prefect_{compute}")
    forget(fleet.dsn)
    settings = fleet.workers.model_copy(update={"compute": compute})
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with ExitStack() as running:
        if compute == "dask":
            variables["DASK_SCHEDULER_ADDRESS"] = running.enter_context(dask_cluster(tmp_path, variables))
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                ON_A_CLUSTER,
                fleet.dsn,
                str(settings.data_dir.parent),
                compute,
            ],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(set(report["killed"])) == 4, "two workers in the cycle, two in the training"
    assert report["version"] == fleet.model.version
    assert found(fleet.dsn) == fleet.stored


@contextmanager
def dask_cluster(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own."""
    file = folder / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = [
        ["dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        *[["dask", "worker", "--host", "127.0.0.1", "--nthreads", "1", *common]] * 2,
    ]
    programs = Path(sys.executable).parent
    with (folder / "dask.log").open("w") as log, ExitStack() as started:
        for name, *arguments in commands:
            process = started.enter_context(
                subprocess.Popen(
                    [programs / name, *arguments], cwd=folder, env=variables, stdout=log, stderr=log
                )
            )
            started.callback(process.terminate)
            wait_for(file)
        yield json.loads(file.read_text())["address"]


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text().endswith("}")):
        assert time.monotonic() < deadline, f"there is no {file}"
        time.sleep(0.1)


#: A cycle and a training, each of which loses a worker; in a process of its own, as clusters leave threads and sockets.
ON_A_CLUSTER = """
import json, os, signal, sys
from contextlib import suppress
from pathlib import Path
import psutil
from servers.disks import cycle, in_each_step, settings_of, train
from flows.environment import prepare_prefect
dsn, home, compute = sys.argv[1:]
settings = settings_of(dsn, Path(home), workers=2, compute=compute)
prepare_prefect(settings)
from pipelines.processes.parallel import kept_workers
def workers():
    if compute == "dask":
        from distributed import Client
        with Client(os.environ["DASK_SCHEDULER_ADDRESS"], set_as_default=False) as client:
            return sorted(client.run(os.getpid, on_error="ignore").values())
    titles = {}
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            titles[one.pid] = "".join(one.cmdline())
    # Not the agents of the node, which end with it.
    mine = [pid for pid, title in titles.items() if title.startswith("ray::") and "Agent" not in title]
    return sorted(mine, key=lambda pid: "IDLE" in titles[pid])  # first those that compute something
killed = []
def kill():
    killed.append(next(pid for pid in workers() if pid not in killed))
    os.kill(killed[-1], signal.SIGKILL)
if __name__ == "__main__":
    with kept_workers():
        cycle(settings, in_each_step(kill))
        model = train(settings, in_each_step(kill))
    print(json.dumps({"killed": killed, "version": model.version}))
"""
