"""Real PostgreSQL servers for the integration tests, each of its own and stopped at the end."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.stores.migrate import down, status
from pipelines.stores.server_user import ServerUser, choose_server_user

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder that the unprivileged user of a server can reach, which pytest's own are not."""
    # Not in the folder for temporary files that a test may have given to this process.
    folder = Path(tempfile.mkdtemp(prefix=f"forewarn-{name}-", dir=os.environ.get("TMPDIR", "/tmp")))  # noqa: S108
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def embedded_server() -> Iterator[str]:
    """The DSN of an embedded PostgreSQL of its own."""
    with scratch_folder("embedded") as folder:
        server = EmbeddedPostgres(folder)
        try:
            yield server.start()
        finally:
            server.stop()


def timescale_programs() -> Path | None:
    """Debian's PostgreSQL that has the timescaledb extension installed, if there is one."""
    for programs in sorted(DEBIAN_POSTGRES.glob("*/bin"), reverse=True):
        version = programs.parent.name
        if Path(f"/usr/share/postgresql/{version}/extension/timescaledb.control").exists():
            return programs
    return None


@contextmanager
def timescale_server(programs: Path) -> Iterator[str]:
    """The DSN of a TimescaleDB of its own, reached by a socket in its folder."""
    with scratch_folder("timescale") as folder:
        user = choose_server_user([])
        user.own(folder)
        cluster = folder / "cluster"
        _run(user, [programs / "initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "-E", "UTF8"])
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
            " -c shared_preload_libraries=timescaledb -c timescaledb.telemetry_level=off"
            " -c timescaledb.max_background_workers=4 -c max_worker_processes=16 -c fsync=off"
        )
        start: list[str | Path] = [
            programs / "pg_ctl",
            "start",
            "-w",
            "-D",
            cluster,
            "-l",
            folder / "log",
            "-o",
            options,
        ]
        _run(user, start)
        try:
            yield make_conninfo(host=str(folder), user="postgres", dbname="postgres")
        finally:
            _run(user, [programs / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", cluster])


def _run(user: ServerUser, command: list[str | Path]) -> None:
    result = user.run(command, 60)
    if result.returncode != 0:
        raise RuntimeError(result.stdout + result.stderr)


@contextmanager
def fresh_database(server_dsn: str) -> Iterator[str]:
    """The DSN of an empty database on that server, dropped at the end."""
    name = f"forewarn_test_{secrets.token_hex(6)}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(server_dsn, dbname=name)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def down_to(dsn: str, name: str) -> None:
    """Undo the migrations after `name`."""
    plain = [entry for entry in status(dsn) if not entry.name.startswith("timescale/")]
    newer = [entry.name for entry in plain if entry.applied and entry.name > name]
    timescale = [entry for entry in status(dsn) if entry.applied and entry.name.startswith("timescale/")]
    assert set(down(dsn, steps=len(timescale) + len(newer))) >= set(newer)
