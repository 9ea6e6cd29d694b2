"""Rollups: samples summarised in buckets of 5 minutes and of one hour. They stay when raw samples are deleted."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import polars as pl
from psycopg import sql

from core.frames import TIME, Schema
from pipelines.stores.binary import frame_of_arrays, read_arrays
from pipelines.stores.sample_days import days_with_samples
from pipelines.stores.session import Session, again_after_deadlocks, database_errors
from pipelines.stores.timescale import Connection, timescale_in_use

Width = Literal["5m", "1h"]

ROLLUP: Schema = {
    "series_id": pl.Int64,
    "ts": TIME,
    "n": pl.Int64,
    "mean": pl.Float64,
    "min": pl.Float64,
    "max": pl.Float64,
}
#: The mean of any values. PostgreSQL's `avg` fails with "value out of range" from about 1e154 on, so the values of a
#: bucket with a huge one are divided by 2^600 first. The migration of TimescaleDB's rollups has the same expression.
_MEAN = (
    "CASE WHEN max(abs(value)) < 1e140::float8 THEN avg(value) FILTER (WHERE abs(value) < 1e140::float8)"
    " ELSE 4.149515568880993e180::float8 * least(greatest("
    "  avg(CASE WHEN abs(value) > 1e-100::float8 THEN value * 2.409919865102884e-181::float8 ELSE 0 END),"
    "  -4.3322963970637727e127::float8), 4.3322963970637727e127::float8) END"
)
#: Begin and end of each chunk of samples that touches a time.
_ALL_CHUNKS = (
    "SELECT extract(epoch FROM c.range_start)::float8, extract(epoch FROM c.range_end)::float8"
    " FROM timescaledb_information.chunks c WHERE c.hypertable_name = 'samples'"
    " AND c.range_end > to_timestamp(%(first)s) AND c.range_start < to_timestamp(%(last)s)"
)
_WHOLE = (
    " AND (SELECT count(*) FROM samples s WHERE s.ts >= c.range_start AND s.ts < c.range_end) >="
    " (SELECT coalesce(sum(r.n), 0) FROM rollups_1h r WHERE r.ts >= c.range_start AND r.ts < c.range_end)"
)
#: Whether a range has more samples than its rollups count.
_LACKS = (
    "SELECT (SELECT count(*) FROM samples WHERE ts >= to_timestamp(%(start)s) AND ts < to_timestamp(%(end)s)) >"
    " (SELECT coalesce(sum(n), 0) FROM {} WHERE ts >= to_timestamp(%(start)s) AND ts < to_timestamp(%(end)s))"
)
_WIDTH_S: dict[Width, int] = {"5m": 300, "1h": 3600}


class RollupStore:
    """The rollups of one tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def refresh(self, start: datetime, end: datetime, *, all_there: bool = True) -> None:
        """Compute again each bucket that touches [start, end). Where samples were deleted, the rollups stay.

        Args:
            all_there: false: chunks of TimescaleDB may have been dropped in this time. A late sample makes such a chunk
                anew, and is then all that it has.
        """
        for width, width_s in _WIDTH_S.items():
            first = _floor(start, width_s)
            last = _floor(end, width_s) + width_s
            with self._session.connection() as connection:
                in_use = timescale_in_use(connection)
            if in_use:
                again_after_deadlocks(
                    partial(self._refresh_aggregate, width, first, last, all_there=all_there)
                )
            else:
                self._refresh_table(
                    width, width_s, *(datetime.fromtimestamp(at, UTC) for at in (first, last))
                )

    def read(
        self, width: Width, start: datetime, end: datetime, series_ids: Sequence[int] | None = None
    ) -> pl.DataFrame:
        """The buckets that start in [start, end): series_id, ts, n, mean, min, max; by series_id, ts."""
        query = sql.SQL(
            "SELECT series_id, array_agg(ts), array_agg(n), array_agg(mean), array_agg(min), array_agg(max)"
            " FROM {table} WHERE series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s"
            "  AND (%(ids)s::bigint[] IS NULL OR series_id = ANY(%(ids)s)))"
            " AND ts >= %(start)s AND ts < %(end)s GROUP BY series_id"
        ).format(table=_table(width))
        ids = None if series_ids is None else list(series_ids)
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            parameters = {"tenant": self._session.tenant, "ids": ids, "start": start, "end": end}
            read_arrays(cursor)
            rows = cursor.execute(query, parameters).fetchall()
        return frame_of_arrays(rows, ROLLUP)

    def _refresh_table(self, width: Width, width_s: int, first: datetime, last: datetime) -> None:
        query = sql.SQL(
            "INSERT INTO {table} AS r (series_id, ts, n, mean, min, max)"
            " SELECT series_id, date_bin(make_interval(secs => %(width_s)s), ts, 'epoch') AS bucket,"
            f" count(*), {_MEAN}, min(value), max(value) FROM samples"
            " WHERE series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s)"
            " AND ts >= %(first)s AND ts < %(last)s"
            " GROUP BY series_id, bucket ORDER BY series_id, bucket"
            " ON CONFLICT (series_id, ts) DO UPDATE SET (n, mean, min, max) ="
            " (excluded.n, excluded.mean, excluded.min, excluded.max)"
            # A late sample whose neighbours were deleted is no summary of the bucket.
            " WHERE excluded.n >= r.n AND (r.n, r.mean, r.min, r.max) IS DISTINCT FROM"
            " (excluded.n, excluded.mean, excluded.min, excluded.max)"
        ).format(table=_table(width))
        for start, end in days_with_samples(self._session, first, last):
            self._session.execute(query, {"width_s": width_s, "first": start, "last": end})

    def _refresh_aggregate(self, width: Width, first: float, last: float, *, all_there: bool) -> None:
        """TimescaleDB refreshes a continuous aggregate outside of any transaction.

        Only chunks are refreshed: what was dropped has rollups, and no samples any more. Chunks begin and end with an
        hour, so that no bucket is cut.
        """
        chunks = f"{_ALL_CHUNKS}{'' if all_there else _WHOLE} ORDER BY c.range_start"
        with database_errors(), self._session.pool.connection() as connection:
            rows = connection.execute(chunks, {"first": first, "last": last}).fetchall()
            connection.commit()
            connection.autocommit = True
            try:
                for range_start, range_end in _joined(rows):
                    _refresh_range(connection, width, max(first, range_start), min(last, range_end))
            finally:
                connection.autocommit = False


def _refresh_range(connection: Connection, width: Width, start: float, end: float) -> None:
    """Refresh the buckets of a range on TimescaleDB, and all of them by force if one lacks samples.

    TimescaleDB 2.28 does not remember samples that are committed while another refresh moves its invalidation threshold
    over them (`cache_inval_entry_write` reads it, and holds a lock that does not exclude the refresh).
    """
    call = "CALL refresh_continuous_aggregate(%s::regclass, to_timestamp(%s), to_timestamp(%s)"
    arguments = [f"rollups_{width}", start, end]
    connection.execute(f"{call})", arguments)
    lacks = sql.SQL(_LACKS).format(_table(width))
    row = connection.execute(lacks, {"start": start, "end": end}).fetchone()
    if row is not None and row[0]:
        connection.execute(f"{call}, force => true)", arguments)


def _joined(ranges: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Ranges, by their start; those that touch become one."""
    joined: list[tuple[float, float]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _table(width: Width) -> sql.Identifier:
    return sql.Identifier(f"rollups_{width}")


def _floor(moment: datetime, width_s: int) -> float:
    return moment.timestamp() // width_s * width_s
