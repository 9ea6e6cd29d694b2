"""Runs a job in a process of its own, kills it at a chosen moment, and compares what it left behind.

A job runs in a fork of a process that has imported everything already, so that a kill costs what the job costs.
"""

import atexit
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.errors import ForewarnError
from core.settings import Settings
from pipelines.processes.temporary_files import own_temporary_folder

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["servers.victims", "mlflow.pyfunc", "feast"])

#: Columns with the time of a write; they may be set or not, and their value differs in each run.
WRITE_TIMES = {"delivered_at", "updated_at", "retry_at", "failing_since"}
#: A job that fails as it should ends with this code, and one with a fault of the program with 1.
FAILED = 3


@dataclass(frozen=True)
class Place:
    """Where a job works. Everything in it is reset before a series of kills.

    Attributes:
        settings: of the job; its database and folders belong to this place.
        at: the time that the job takes for the present; null: the end of the data.
        temporary: the folder for temporary files.
        log: what the job prints.
    """

    settings: Settings
    home: Path
    at: datetime | None = None

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def log(self) -> Path:
        return self.home / "log"


@dataclass(frozen=True)
class Run:
    """How a job ended.

    Attributes:
        seconds: how long it ran.
        steps: how many moments it passed at which a kill is most likely to hurt, see `count_steps`.
    """

    code: int
    seconds: float
    steps: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Moment:
    """When to kill: after some seconds, or at the step with this number."""

    seconds: float | None = None
    step: int | None = None


def moments(rng: random.Random, usual: Run, count: int) -> Iterator[Moment]:
    """Moments in the course of a job that was measured before; every second one is beside a commit or a request."""
    for number in range(count):
        if number % 2:
            yield Moment(seconds=rng.uniform(0, usual.seconds))
        else:
            yield Moment(step=rng.randrange(usual.steps))


def warm_up() -> None:
    """Start the process that is forked, so that its imports go on while something else is prepared."""
    with pytest.MonkeyPatch.context() as only_here:
        # It finds the tests' helpers too. Other processes must not find the packages of this one.
        only_here.setenv("PYTHONPATH", os.pathsep.join(filter(None, dict.fromkeys(sys.path))))
        ensure_running()


def run(job: Callable[[Place], None], place: Place, moment: Moment | None = None) -> Run:
    """Run a job to its end, or kill it."""
    moment = moment or Moment()
    began = time.monotonic()
    process = start(job, place, moment.step)
    process.join(moment.seconds)
    if process.is_alive() and moment.seconds is not None:
        process.kill()
    process.join()
    assert process.exitcode is not None
    return Run(process.exitcode, time.monotonic() - began, (place.home / "steps").stat().st_size)


def start(job: Callable[[Place], None], place: Place, kill_at: int | None = None) -> Any:
    """Start a job without waiting for it."""
    place.temporary.mkdir(exist_ok=True)
    (place.home / "steps").write_bytes(b"")
    process = FORKS.Process(target=_child, args=(job, place, kill_at))
    process.start()
    return process


def _child(job: Callable[[Place], None], place: Place, kill_at: int | None) -> None:
    with place.log.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    tempfile.tempdir = str(place.temporary)
    own_temporary_folder()
    steps = (place.home / "steps").open("ab", buffering=0)

    def step() -> None:
        if steps.tell() == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        steps.write(b".")

    count_steps(step)
    code = 0
    try:
        job(place)
    except ForewarnError as error:
        print(f"error: {error}", flush=True)
        code = FAILED
    atexit._run_exitfuncs()  # which the module multiprocessing leaves out
    os._exit(code)


def count_steps(step: Callable[[], None]) -> None:
    """Call `step` before and after each commit, and after each request: there a half-done job shows."""
    import httpx
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    execute, send = psycopg.Connection._exec_command, httpx.Client.send

    def exec_command(self: Any, command: Any, *args: Any, **options: Any) -> Any:
        commits = isinstance(command, bytes) and command.upper().startswith(b"COMMIT")
        if commits:
            step()
        yield from execute(self, command, *args, **options)
        if commits:
            step()

    def send_counted(self: Any, *args: Any, **options: Any) -> Any:
        response = send(self, *args, **options)
        step()
        return response

    psycopg.Connection._exec_command = exec_command  # type: ignore[method-assign]
    httpx.Client.send = send_counted  # type: ignore[method-assign]
    event.listen(Engine, "commit", lambda _: step())


def tables(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of all tables; of the times of writes only whether they are set."""
    found = {}
    with psycopg.connect(dsn) as connection:
        columns: dict[str, list[sql.Composable]] = {}
        for table, column, default, identity in connection.execute(
            "SELECT table_name, column_name, coalesce(column_default, ''), is_identity FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
        ):
            name = sql.Identifier(column)
            # Notes of writes are no data: they have the numbers of transactions, and old ones may be there or not.
            if identity == "YES" or table in ("schema_migrations", "sample_writes"):
                continue
            if default.startswith("now()") or column in WRITE_TIMES or column == "created_ts":
                columns.setdefault(table, []).append(sql.SQL("{} IS NULL").format(name))
            else:
                columns.setdefault(table, []).append(sql.SQL("{}::text").format(name))
        for table, wanted in columns.items():
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(wanted), sql.Identifier(table))
            found[table] = sorted(connection.execute(query).fetchall(), key=repr)
    return found


def models(settings: Settings) -> dict[str, Any]:
    """Versions, aliases, runs and files of the models, without the names that MLflow draws."""
    if not (settings.mlruns_dir / "mlflow.db").exists():
        return {}
    import sqlite3

    with sqlite3.connect(settings.mlruns_dir / "mlflow.db") as database:

        def rows(query: str) -> list[Any]:
            return sorted(database.execute(query).fetchall())

        folder = settings.mlruns_dir / "artifacts"
        files = sorted(path.name for path in folder.rglob("*") if path.is_file())
        return {
            "versions": rows(
                "SELECT v.name, v.version, v.status, t.value FROM model_versions v"
                " LEFT JOIN model_version_tags t USING (name, version)"
            ),
            "aliases": rows("SELECT name, alias, version FROM registered_model_aliases"),
            "runs": rows("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"),
            "bundles": rows("SELECT name, status FROM logged_models WHERE lifecycle_stage = 'active'"),
            "files": files,
        }


def reset(folder: Path, from_folder: Path | None = None) -> None:
    """Empty a folder, or make it equal to another one."""
    shutil.rmtree(folder, ignore_errors=True)
    if from_folder is not None and from_folder.exists():
        shutil.copytree(from_folder, folder)
    else:
        folder.mkdir(parents=True)
