"""Migrate a database to the newest schema: numbered SQL files, in order, each once, in its own transaction.

`migrations/*.sql` make plain tables; where TimescaleDB can be used, `migrations/timescale/*.sql` then turn them into
hypertables with policies. The database keeps a checksum of each file, so that an edited file is noticed.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql

from core.errors import ConfigurationError, UnavailableError
from core.settings import Settings
from pipelines.stores.connecting import connection_parameters
from pipelines.stores.session import database_errors
from pipelines.stores.timescale import set_retention_policies, timescale_in_use, timescale_usable

#: Held while migrating. Any number works, as long as no other program uses it on this database.
ADVISORY_LOCK = 0x666F7265
#: How often a migration that met a background job of TimescaleDB is tried again.
TRIES_AGAIN = 5

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One migration, and whether the database has it."""

    name: str
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Migration:
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()


def migrate(dsn: str, settings: Settings | None = None) -> list[str]:
    """Apply the missing migrations.

    Args:
        settings: how long data are kept. TimescaleDB gets retention policies from it; null: they stay as they are.
    Returns:
        The names of the migrations applied now, in order.
    Raises:
        ConfigurationError: a migration that was applied has been edited since.
        UnavailableError: the database does not answer.
    """
    done = []
    with _locked(dsn) as connection:
        applied = _applied(connection)
        for migration in _wanted(connection, create=True):
            if migration.name in applied:
                if applied[migration.name] != migration.checksum:
                    raise ConfigurationError(
                        f"migration {migration.name} was changed after it was applied; add a new one instead"
                    )
                continue
            record = "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)"
            _change(connection, migration.up, record, [migration.name, migration.checksum])
            done.append(migration.name)
        if settings is not None and timescale_in_use(connection):
            set_retention_policies(connection, settings)
    return done


def status(dsn: str) -> list[MigrationStatus]:
    """Every migration that this database should have, in order."""
    with _locked(dsn) as connection:
        applied = _applied(connection)
        return [MigrationStatus(name=m.name, applied=m.name in applied) for m in _wanted(connection)]


def down(dsn: str, steps: int = 1) -> list[str]:
    """Undo the last `steps` migrations, newest first. For development: it deletes the data of dropped tables."""
    undone = []
    with _locked(dsn) as connection:
        applied = _applied(connection)
        for migration in [m for m in reversed(_wanted(connection)) if m.name in applied][:steps]:
            record = "DELETE FROM schema_migrations WHERE name = %s"
            _change(connection, migration.down, record, [migration.name])
            undone.append(migration.name)
    return undone


@contextmanager
def _locked(dsn: str) -> Iterator[Connection]:
    """A connection that holds the lock, so that no other migration runs at the same time."""
    try:
        connection = psycopg.connect(**connection_parameters(dsn), autocommit=True)
    except psycopg.OperationalError as error:
        raise UnavailableError(f"the database does not answer: {error}") from error
    with database_errors(), connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        yield connection


def _applied(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, checksum FROM schema_migrations").fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def _wanted(connection: Connection, *, create: bool = False) -> list[_Migration]:
    """The plain migrations and, where TimescaleDB can be used, those for TimescaleDB."""
    return _read("") + (_read("timescale/") if timescale_usable(connection, create=create) else [])


def _read(folder: str) -> list[_Migration]:
    place = files("pipelines.migrations").joinpath(folder)
    texts = {file.name: file.read_text() for file in place.iterdir() if file.name.endswith(".sql")}
    names = sorted(name for name in texts if not name.endswith(".down.sql"))
    return [
        _Migration(
            name=folder + name.removesuffix(".sql"),
            up=texts[name],
            down=texts[name.removesuffix(".sql") + ".down.sql"],
        )
        for name in names
    ]


def _change(connection: Connection, script: str, record: str, parameters: list[str]) -> None:
    """Run a script, and record that it ran, in one transaction; again if a background job of TimescaleDB met it."""
    for attempt in range(TRIES_AGAIN + 1):
        try:
            with connection.transaction():
                _run(connection, script)
                connection.execute(sql.SQL(record), parameters)
            return
        except (psycopg.errors.DeadlockDetected, psycopg.errors.InternalError_) as error:
            if attempt == TRIES_AGAIN or not _met_a_job(error):
                raise


def _met_a_job(error: psycopg.Error) -> bool:
    """Whether it lost a deadlock, or dropped what a job that runs has just changed: "tuple concurrently deleted"."""
    if isinstance(error, psycopg.errors.DeadlockDetected):
        return True
    return (error.diag.message_primary or "").startswith("tuple concurrently")


def _run(connection: Connection, script: str) -> None:
    """Run several statements at once. This needs the simple protocol, which has no parameters."""
    connection.execute(sql.SQL(script))
