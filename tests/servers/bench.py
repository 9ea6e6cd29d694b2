"""States of a whole installation from which jobs start, and what an undisturbed job leaves."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from servers import kills, victims
from servers.kills import Place, Run, reset, run

from core.clock import FixedClock
from pipelines.operate.status import read_status
from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.stores.migrate import migrate
from pipelines.stores.mlflow_folder import tracking_uri
from pipelines.wiring import open_platform


@dataclass
class Bench:
    """A database server, and states from which jobs start.

    Attributes:
        place: where every job works, one after the other; MLflow's files contain the path.
    """

    server: EmbeddedPostgres
    place: Place
    states: Path

    def save(self, name: str) -> None:
        """Keep the present state of the place under a name."""
        self._copy_database("job", name)
        for folder in ("data", "mlruns", "input"):
            reset(self.states / name / folder, self.place.home / folder)

    def restore(self, name: str) -> None:
        self._copy_database(name, "job")
        for folder in ("data", "mlruns", "input"):
            reset(self.place.home / folder, self.states / name / folder)
        reset(self.place.temporary)
        self.place.log.write_text("")

    def dsn(self, name: str) -> str:
        return make_conninfo(self.server.start(), dbname=name)

    def create(self) -> None:
        """An empty state, with the tables of both databases: MLflow needs seconds to create its own."""
        # Only a fall of the machine needs it; a killed server has given its writes to the kernel.
        self._sql("ALTER SYSTEM SET fsync = off")
        self._sql("SELECT pg_reload_conf()")
        self._sql("CREATE DATABASE {}", "job")
        migrate(self.dsn("job"))
        for folder in ("data", "mlruns", "input"):
            reset(self.place.home / folder)
        tracking_uri(self.place.settings.mlruns_dir)
        self.save("empty")

    def _copy_database(self, source: str, target: str) -> None:
        self._sql("DROP DATABASE IF EXISTS {} WITH (FORCE)", target)
        self._end_clients(source)
        self._sql("CREATE DATABASE {} TEMPLATE {}", target, source)

    def _end_clients(self, name: str) -> None:
        with psycopg.connect(self.server.start(), autocommit=True) as connection:
            deadline = time.monotonic() + 20
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
            while (row := connection.execute(query, [name]).fetchone()) and row[0]:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def _sql(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server.start(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def state(self) -> dict[str, Any]:
        """All that a job writes, and what `status` shows of it."""
        settings = self.place.settings
        with open_platform(settings, clock=FixedClock(victims.END)) as platform:
            status = read_status(platform)
        return {
            "tables": kills.tables(self.dsn("job")),
            "models": kills.models(settings),
            "status": [(part.name, part.state, part.problem) for part in status.parts],
            "temporary files": sorted(path.name for path in self.place.temporary.iterdir()),
        }


@dataclass(frozen=True)
class Undisturbed:
    """A job that ran to its end, and what it left.

    Attributes:
        start: the state from which it started.
        end: the name under which its own state is kept.
    """

    start: str
    end: str
    job: Callable[[Place], None]
    usual: Run
    state: Mapping[str, Any]


def undisturbed(bench: Bench, start: str, job: Callable[[Place], None]) -> Undisturbed:
    bench.restore(start)
    usual = finish(bench, job)
    state = bench.state()
    assert state["temporary files"] == []
    assert not [name for name, *_ in state["status"] if name.startswith(("running", "stray"))]
    bench.save(job.__name__)
    return Undisturbed(start, job.__name__, job, usual, state)


def finish(bench: Bench, job: Callable[[Place], None]) -> Run:
    done = run(job, bench.place)
    assert done.code == 0, bench.place.log.read_text()[-3000:]
    return done
