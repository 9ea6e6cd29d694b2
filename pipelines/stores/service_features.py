"""Features by service and time, in the table that Feast reads."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from core.errors import InputError, InvalidFrameError
from core.frames import TIME, Schema, microseconds_of, require_frame
from pipelines.stores.binary import COPY_HEADER, COPY_TRAILER, EPOCH_US, table_rows
from pipelines.stores.session import Connection, Session, utc_or_none

_KEYS: Schema = {"service_id": pl.String, "ts": TIME}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ServiceFeatureStore:
    """The features of one tenant (`core.ports.FeatureRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: frozenset[str] = frozenset()

    def ensure_columns(self, names: Sequence[str]) -> None:
        """Add a double precision column for each feature that does not have one yet.

        Raises:
            InputError: a name is not lower case letters, digits and underscores.
        """
        for name in names:
            if not _NAME.fullmatch(name) or name in {"tenant", "created", *_KEYS}:
                raise InputError(f"{name!r} cannot be the name of a feature")
        known = set(self._columns())
        for name in (name for name in names if name not in known):
            self._session.execute(
                sql.SQL("ALTER TABLE service_features ADD COLUMN IF NOT EXISTS {} double precision").format(
                    sql.Identifier(name)
                ),
                {},
            )

    def write(self, frame: pl.DataFrame) -> int:
        """Store features; the same service and time again replaces them. Returns how many rows were stored.

        Args:
            frame: service_id (`<tenant>/<service>`), ts, and one Float64 column a feature.

        Raises:
            InvalidFrameError: a key is missing, or a column is not Float64.
            InputError: a service_id does not start with the tenant.
        """
        keys = require_frame(frame, _KEYS, "features")
        names = [name for name in frame.columns if name not in _KEYS]
        prefix = f"{self._session.tenant}/"
        if not keys["service_id"].str.starts_with(prefix).all():
            raise InputError(f"every service_id must start with {prefix!r}, the name of its tenant")
        for name, kind in frame.select(names).schema.items():
            if kind != pl.Float64:
                raise InvalidFrameError(f"features column {name!r} must be Float64, got {kind}")
        self.ensure_columns(names)
        if frame.is_empty():
            return 0
        rows = frame.select(*keys.columns, *names).unique(
            ["service_id", "ts"], keep="last", maintain_order=True
        )
        with self._session.atomically(), self._session.connection() as connection:
            return self._insert(connection, rows) or self._merge(connection, rows)

    def _insert(self, connection: Connection, rows: pl.DataFrame) -> int:
        """COPY into the table, as for a moment that is new; returns 0, with nothing written, if a row is there."""
        try:
            with connection.transaction():
                self._copy(connection, "service_features", rows)
        except psycopg.errors.UniqueViolation:
            return 0
        return rows.height

    def _merge(self, connection: Connection, rows: pl.DataFrame) -> int:
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS incoming_features (LIKE service_features INCLUDING DEFAULTS)"
            " ON COMMIT DROP"
        )
        connection.execute("TRUNCATE incoming_features")
        self._copy(connection, "incoming_features", rows)
        changed = ["created", *(name for name in rows.columns if name not in _KEYS)]
        updates = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changed]
        written = connection.execute(
            sql.SQL(
                "INSERT INTO service_features (created, {columns}) SELECT now(), {columns} FROM incoming_features"
                " ON CONFLICT (tenant, service_id, ts) DO UPDATE SET {updates}"
            ).format(columns=_columns_of(rows), updates=sql.SQL(", ").join(updates))
        )
        return written.rowcount

    def _copy(self, connection: Connection, table: str, rows: pl.DataFrame) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(table), _columns_of(rows)
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(COPY_HEADER)
            # Arrays, because a frame for each service would be thousands of columns for a few rows each.
            times = microseconds_of(rows["ts"])[:, None] - EPOCH_US
            values = rows.drop(_KEYS).to_numpy()
            end = 0
            for service, count in _runs(rows["service_id"]):
                start, end = end, end + count
                key = self._session.tenant, service
                copy.write(table_rows(key, times[start:end], values[start:end]))
            copy.write(COPY_TRAILER)

    def newest(self) -> datetime | None:
        """The time of the newest features; null when there are none."""
        rows = self._session.rows("SELECT max(ts) AS ts FROM service_features WHERE tenant = %(tenant)s", {})
        return utc_or_none(rows[0]["ts"])

    def services(self, start: datetime, end: datetime) -> list[str]:
        """The ids of the services with features from `start` to `end`, both included; sorted."""
        rows = self._session.rows(
            "SELECT DISTINCT service_id FROM service_features"
            " WHERE tenant = %(tenant)s AND ts BETWEEN %(start)s AND %(end)s ORDER BY service_id",
            {"start": start, "end": end},
        )
        return [row["service_id"] for row in rows]

    def latest(
        self, service_ids: Sequence[str], names: Sequence[str], until: datetime | None = None
    ) -> pl.DataFrame:
        """The newest features of each service, in the order of `service_ids`: service_id, ts and the named features.

        Services without features have nulls.

        Args:
            until: later features are ignored.
        """
        found: list[Any] = []
        if self._has(names):
            columns = sql.SQL(", ").join(
                sql.SQL("f.{}").format(sql.Identifier(one)) for one in [*_KEYS, *names]
            )
            query = sql.SQL(
                "SELECT {} FROM unnest(%(ids)s::text[]) AS wanted (id) CROSS JOIN LATERAL ("
                "SELECT * FROM service_features WHERE tenant = %(tenant)s AND service_id = wanted.id"
                " AND ts <= %(until)s ORDER BY ts DESC LIMIT 1) AS f"
            ).format(columns)
            with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
                parameters = {
                    "tenant": self._session.tenant,
                    "ids": list(service_ids),
                    "until": until or "infinity",
                }
                found = cursor.execute(query, parameters).fetchall()
        rows = pl.DataFrame(found, schema={**_KEYS, **dict.fromkeys(names, pl.Float64)}, orient="row")
        wanted = pl.DataFrame({"service_id": service_ids}, schema={"service_id": pl.String})
        return wanted.join(rows, on="service_id", how="left", maintain_order="left")

    def _has(self, names: Sequence[str]) -> bool:
        """Whether the table has a column for each feature. It has none before features were built, and loses none."""
        if not self._known.issuperset(names):
            self._known = frozenset(self._columns())
        return self._known.issuperset(names)

    def read(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Features of [start, end): service_id, ts and every feature column, by service_id, ts."""
        names = self._columns()
        columns = sql.SQL(", ").join(map(sql.Identifier, [*_KEYS, *names]))
        query = sql.SQL(
            "SELECT {} FROM service_features WHERE tenant = %(tenant)s AND ts >= %(start)s AND ts < %(end)s"
            " ORDER BY service_id, ts"
        ).format(columns)
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            parameters = {"tenant": self._session.tenant, "start": start, "end": end}
            rows = cursor.execute(query, parameters).fetchall()
        return pl.DataFrame(rows, schema={**_KEYS, **dict.fromkeys(names, pl.Float64)}, orient="row")

    def _columns(self) -> list[str]:
        """The feature columns that the table has, in the order in which they were added."""
        rows = self._session.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'service_features'::regclass"
            " AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('tenant', 'service_id', 'ts', 'created') ORDER BY attnum",
            {},
        )
        return [row["attname"] for row in rows]


def _runs(names: pl.Series) -> Iterator[tuple[str, int]]:
    """Each name, and in how many rows from there on it stays the same."""
    runs = names.rle()
    yield from zip(runs.struct.field("value").to_list(), runs.struct.field("len").to_list(), strict=True)


def _columns_of(rows: pl.DataFrame) -> sql.Composed:
    """The columns of the table in the order in which rows are copied."""
    return sql.SQL(", ").join(map(sql.Identifier, ["tenant", *rows.columns]))
