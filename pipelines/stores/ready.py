"""Start, stop and migrate the database and show its status. It is the embedded one or given by DSN."""

from dataclasses import dataclass

from core.errors import ConfigurationError
from core.settings import Settings
from pipelines.stores import migrate
from pipelines.stores.embedded import EmbeddedPostgres


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """Whether the database answers, and which migrations it has; both lists are empty where it does not run."""

    kind: str
    running: bool
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


def up(settings: Settings) -> DatabaseStatus:
    """Start the database if it is the embedded one, and apply the missing migrations.

    Raises:
        UnavailableError: it does not start, or does not answer.
    """
    apply_migrations(settings)
    return status(settings)


def down(settings: Settings) -> DatabaseStatus:
    """Stop the embedded database; its data stay.

    Raises:
        ConfigurationError: the database is given by DSN, so Forewarn does not manage it.
    """
    if settings.database_url is not None:
        raise ConfigurationError(
            "Forewarn did not start the database of FOREWARN_DATABASE_URL, so it cannot stop it"
        )
    EmbeddedPostgres(settings.data_dir).stop()
    return status(settings)


def apply_migrations(settings: Settings) -> list[str]:
    """Apply the missing migrations; returns their names."""
    return migrate.migrate(_started(settings), settings)


def status(settings: Settings) -> DatabaseStatus:
    """Which database it is, whether it answers, and which migrations it has. Does not start it."""
    if settings.database_url is not None:
        return _status("FOREWARN_DATABASE_URL", settings.database_url.get_secret_value())
    server = EmbeddedPostgres(settings.data_dir)
    if not server.status().running:
        return DatabaseStatus(kind="embedded", running=False)
    return _status("embedded", server.start())


def ready_dsn(settings: Settings) -> str:
    """The DSN of a database that can be used at once.

    The embedded database is started and migrated automatically. A database given by DSN is only migrated on demand.

    Raises:
        ConfigurationError: migrations are missing in a database given by DSN.
        UnavailableError: it does not answer.
    """
    dsn = _started(settings)
    if settings.database_url is None:
        migrate.migrate(dsn, settings)
    elif missing := [entry for entry in migrate.status(dsn) if not entry.applied]:
        raise ConfigurationError(
            f"{len(missing)} migrations are missing in the database; run `forewarn db migrate` once to apply them"
        )
    return dsn


def _started(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return EmbeddedPostgres(settings.data_dir).start()


def _status(kind: str, dsn: str) -> DatabaseStatus:
    entries = migrate.status(dsn)
    return DatabaseStatus(
        kind=kind,
        running=True,
        applied=tuple(entry.name for entry in entries if entry.applied),
        pending=tuple(entry.name for entry in entries if not entry.applied),
    )
