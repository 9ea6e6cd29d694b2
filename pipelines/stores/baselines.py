"""Baselines, in versions: each version is published completely or not at all."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import numpy as np
import polars as pl
from psycopg.types.json import Jsonb

from core.domain import ModelRef
from core.frames import TIME, Schema, require_frame
from pipelines.stores.binary import Float8Array, Float8ArrayDumper, read_arrays
from pipelines.stores.session import Connection, Session, utc

BASELINE_ROWS: Schema = {
    "series_id": pl.Int64,
    "n": pl.Int64,
    "mean": pl.Float64,
    "std": pl.Float64,
    "percentiles": pl.List(pl.Float64),
    "seasonality": pl.String,
    "change_points": pl.List(TIME),
    "profile": pl.List(pl.Float64),
    "slot_s": pl.Int64,
    "lower": pl.List(pl.Float64),
    "upper": pl.List(pl.Float64),
    "note": pl.String,
}
#: Training runs every night: two weeks of versions.
KEPT_VERSIONS = 14
_FLOAT_LISTS = ("percentiles", "profile", "lower", "upper")
_TYPES = [
    "text", "int4", "int8", "int8", "float8", "float8", "float8[]", "text", "timestamptz[]", "float8[]",
    "int8", "float8[]", "float8[]", "text",
]  # fmt: skip


class BaselineStore:
    """The baselines of one tenant (`core.ports.BaselineRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def publish(
        self, rows: pl.DataFrame, *, window_start: datetime, window_end: datetime, model: ModelRef | None
    ) -> int:
        """Store the baselines of all series as the next version, in one transaction.

        Args:
            rows: `BASELINE_ROWS`; missing numbers inside the lists may be null.
        Returns:
            The version. The last 14 are kept. The same rows for the same window again are the same version.
        Raises:
            InvalidFrameError: a column is missing or has another dtype.
        """
        frame = require_frame(rows, BASELINE_ROWS, "baselines")
        tenant = self._session.tenant
        with self._session.atomically(), self._session.connection() as connection:
            # two publishers of one tenant wait for each other, so that each gets its own version
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('baselines ' || %s, 0))", [tenant]
            )
            row = connection.execute(
                "INSERT INTO baselines (tenant, version, window_start, window_end, model)"
                " SELECT %(tenant)s, coalesce(max(version), 0) + 1, %(start)s, %(end)s, %(model)s"
                " FROM baselines WHERE tenant = %(tenant)s RETURNING version",
                {
                    "tenant": tenant,
                    "start": window_start,
                    "end": window_end,
                    "model": None if model is None else Jsonb(asdict(model)),
                },
            ).fetchone()
            version = int(row[0]) if row else 0
            with connection.cursor() as cursor:
                cursor.adapters.register_dumper(Float8Array, Float8ArrayDumper)
                columns = ", ".join(BASELINE_ROWS)
                statement = f"COPY baseline_rows (tenant, version, {columns}) FROM STDIN (FORMAT BINARY)"
                with cursor.copy(statement) as copy:
                    copy.set_types(_TYPES)
                    for values in _python_rows(frame):
                        copy.write_row((tenant, version, *values))
            if self._repeats_previous(connection, version):
                # A run that was killed after it had published, and was started again, publishes nothing new.
                connection.execute(
                    "DELETE FROM baselines WHERE tenant = %s AND version = %s", [tenant, version]
                )
                return version - 1
            connection.execute(
                "DELETE FROM baselines WHERE tenant = %s AND version <= %s", [tenant, version - KEPT_VERSIONS]
            )
        return version

    def _repeats_previous(self, connection: Connection, version: int) -> bool:
        """Whether a version has the same window, model and rows as the one before it."""
        columns = ", ".join(BASELINE_ROWS)
        rows_of = f"SELECT {columns} FROM baseline_rows WHERE tenant = %(tenant)s AND version = "
        new, old = f"{rows_of} %(version)s", f"{rows_of} %(version)s - 1"
        row = connection.execute(
            "SELECT 1 FROM baselines n JOIN baselines o ON (o.tenant, o.version) = (n.tenant, n.version - 1)"
            " AND (o.window_start, o.window_end) = (n.window_start, n.window_end)"
            " AND o.model IS NOT DISTINCT FROM n.model WHERE n.tenant = %(tenant)s AND n.version = %(version)s"
            f" AND NOT EXISTS ({new} EXCEPT {old}) AND NOT EXISTS ({old} EXCEPT {new})",
            {"tenant": self._session.tenant, "version": version},
        ).fetchone()
        return row is not None

    def extent(self) -> tuple[int, datetime, int] | None:
        """The newest version, the end of its training window, and how many series it has."""
        rows = self._session.rows(
            "SELECT version, window_end, (SELECT count(*) FROM baseline_rows b"
            " WHERE b.tenant = v.tenant AND b.version = v.version) AS series"
            " FROM baselines v WHERE tenant = %(tenant)s ORDER BY version DESC LIMIT 1",
            {},
        )
        return (rows[0]["version"], utc(rows[0]["window_end"]), rows[0]["series"]) if rows else None

    def current(self) -> tuple[int, pl.DataFrame] | None:
        """The newest version and its rows (`BASELINE_ROWS`, by series_id); null before the first."""
        columns = ", ".join(BASELINE_ROWS)
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            read_arrays(cursor)
            # one statement, so that another publisher cannot delete the version in between
            cursor.execute(
                f"SELECT v.version, {columns} FROM (SELECT max(version) AS version FROM baselines"
                " WHERE tenant = %(tenant)s) v LEFT JOIN baseline_rows b"
                " ON b.tenant = %(tenant)s AND b.version = v.version ORDER BY series_id",
                {"tenant": self._session.tenant},
            )
            rows = cursor.fetchall()
        version = rows[0][0]
        if version is None:
            return None
        return int(version), _frame([row[1:] for row in rows if row[1] is not None])


def _python_rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    columns: list[Sequence[object]] = []
    for name, dtype in BASELINE_ROWS.items():
        column = frame[name]
        if name in _FLOAT_LISTS:
            columns.append([Float8Array(values) for values in _float_lists(column)])
        elif dtype == pl.List(TIME):
            columns.append([[] if times is None else times.to_list() for times in column])
        else:
            columns.append(column.to_list())
    return list(zip(*columns, strict=True))


def _float_lists(column: pl.Series) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Each list as an array; null inside becomes NaN, a null list an empty one."""
    lengths = column.list.len().fill_null(0).to_numpy()
    flat = column.list.explode(empty_as_null=False, keep_nulls=False).fill_null(np.nan).to_numpy()
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(BASELINE_ROWS)
    series = []
    for (name, dtype), values in zip(BASELINE_ROWS.items(), columns, strict=True):
        if name in _FLOAT_LISTS:
            # Polars makes a fixed-size column of arrays of one length, whatever the dtype asked for
            column = pl.Series(name, list(values), dtype=dtype).cast(dtype)
            series.append(column.list.eval(pl.element().fill_nan(None)))
        elif dtype == pl.List(TIME):
            plain = pl.Series(name, list(values), dtype=pl.List(pl.Int64)).cast(pl.List(pl.Int64))
            series.append(plain.cast(pl.List(TIME)))
        else:
            series.append(pl.Series(name, list(values), dtype=dtype))
    return pl.DataFrame(series)
