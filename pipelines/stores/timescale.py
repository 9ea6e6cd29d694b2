"""TimescaleDB: whether the database has it, and its retention policies."""

import psycopg
from psycopg import sql

from core.settings import Settings

Connection = psycopg.Connection[tuple[object, ...]]


def timescale_usable(connection: Connection, *, create: bool = False) -> bool:
    """Whether this database has, or may get, TimescaleDB with its community features (compression, policies).

    The edition is known only after the extension is created. The Apache edition counts as no TimescaleDB.

    Args:
        create: create the extension first. Where that is not allowed, plain tables do the same work.
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
        " AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
    ).fetchone()
    if row is None or not row[0]:
        return False
    if create:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except psycopg.errors.InsufficientPrivilege:
            return False
    row = connection.execute(
        "SELECT current_setting('timescaledb.license', true)"
        " WHERE EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
    ).fetchone()
    return row is None or row[0] == "timescale"


def timescale_in_use(connection: Connection) -> bool:
    """Whether the rollups of this database are continuous aggregates."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM schema_migrations WHERE name LIKE 'timescale/%')"
    ).fetchone()
    return row is not None and bool(row[0])


def set_retention_policies(connection: Connection, settings: Settings) -> None:
    """Let the server drop chunks at the ages of `settings`. A second call changes nothing.

    With an archive, `pipelines.stores.chunks` drops those of samples: a policy would not wait for the archive.
    """
    ages = {
        "samples": settings.retention_raw_days,
        "rollups_5m": settings.retention_rollup_days,
        "rollups_1h": settings.retention_rollup_days,
        "service_features": settings.retention_rollup_days,
    }
    if settings.archive_url is not None:
        del ages["samples"]
        remove_policy_of_samples(connection)
    wanted = sql.SQL(
        "SELECT EXISTS (SELECT FROM timescaledb_information.jobs j"
        " LEFT JOIN timescaledb_information.continuous_aggregates c"
        " ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name::text)"
        " WHERE j.proc_name = 'policy_retention'"
        " AND coalesce(c.view_name::text, j.hypertable_name::text) = {name}"
        " AND (j.config->>'drop_after')::interval = make_interval(days => {days}))"
    )
    for name, days in ages.items():
        row = connection.execute(wanted.format(name=sql.Literal(name), days=sql.Literal(days))).fetchone()
        if row is not None and row[0]:
            continue
        with connection.transaction():
            connection.execute("SELECT remove_retention_policy(%s::regclass, if_exists => true)", [name])
            connection.execute(
                "SELECT add_retention_policy(%s::regclass, make_interval(days => %s))", [name, days]
            )


def remove_policy_of_samples(connection: Connection) -> None:
    """Let the server keep all samples, however old. A second call changes nothing."""
    connection.execute("SELECT remove_retention_policy('samples', if_exists => true)")
