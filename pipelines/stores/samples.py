"""Samples: written with one binary COPY, read back as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg.rows import DictRow, TupleRow

from core.arrays import IntArray
from core.errors import InputError, UnknownSeriesError
from core.frames import (
    SAMPLES,
    TIMES,
    frame_of,
    has_null,
    microseconds_of,
    require_frame,
    sample_arrays,
    stacked,
)
from core.ports import WriteResult
from pipelines.stores.binary import (
    COPY_HEADER,
    COPY_TRAILER,
    Float8Array,
    Int8Array,
    TimeArray,
    frame_of_arrays,
    is_ordered,
    read_arrays,
    sample_rows,
)
from pipelines.stores.sample_writes import ALL, note_write
from pipelines.stores.session import Connection, Session, utc
from pipelines.stores.timescale import timescale_in_use

#: Rows in one COPY message: so many that the call costs little, so few that they fit the processor's cache.
COPY_CHUNK_ROWS = 16_384

_CONFLICTS = {**SAMPLES, "stored": pl.Float64}
#: The stored samples of each series between the first and the last of its times. By LATERAL the server looks for them
#: series by series: the planner knows little of what TimescaleDB has compressed, and would rather read that of all
#: series. From the limits of all times it knows before it begins which chunks it needs.
_RANGES = (
    "unnest(%(near)s::bigint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[]) AS r (id, first, last)"
)
_STORED = (
    "SELECT p.series_id, p.ts, p.value FROM samples p WHERE p.series_id = r.id"
    " AND p.ts BETWEEN r.first AND r.last AND p.ts BETWEEN %(from)s AND %(until)s"
)
_NEAR = f"{_RANGES} CROSS JOIN LATERAL ({_STORED} OFFSET 0) p"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SampleStore:
    """The samples of one tenant (`core.ports.SampleRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """Store samples; a time that already has a value keeps that value.

        Args:
            frame: `SAMPLES`, in any order, without null, NaN or infinite values.
        Raises:
            InvalidFrameError: the frame is not `SAMPLES`.
            InputError: a value is missing or not finite.
            UnknownSeriesError: a series is not registered for this tenant.
        """
        frame = require_frame(frame, SAMPLES, "samples")
        if frame.is_empty():
            return WriteResult(inserted=0, duplicates=0, conflicts=pl.DataFrame(schema=_CONFLICTS))
        if has_null(frame) or not np.isfinite(frame["value"].to_numpy()).all():
            raise InputError("samples must have a series, a time and a finite value in every row")
        total = frame.height
        frame, clashes = _first_of_each(frame)
        inserted, conflicts = self._session.atomically_retried(lambda: self._insert_and_note(frame))
        clashes = stacked([clashes, conflicts])
        return WriteResult(inserted=inserted, duplicates=total - inserted - clashes.height, conflicts=clashes)

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        """The samples of [start, end), of all series or of those given: `SAMPLES`, by series_id, ts."""

        # Given to the samples themselves, ids are found by the index of what TimescaleDB has compressed.
        chosen = "" if series_ids is None else " AND series_id = ANY(%(ids)s::bigint[])"
        parameters: dict[str, object] = {"tenant": self._session.tenant, "start": start, "end": end}
        if series_ids is not None:
            parameters["ids"] = Int8Array(series_ids)

        def arrays() -> list[TupleRow]:
            with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
                read_arrays(cursor)
                # One row a series: the values travel as arrays, not as millions of rows.
                return cursor.execute(
                    "SELECT series_id, array_agg(ts), array_agg(value) FROM samples"
                    f" WHERE series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s{chosen}){chosen}"
                    " AND ts >= %(start)s AND ts < %(end)s GROUP BY series_id",
                    parameters,
                ).fetchall()

        return frame_of_arrays(self._session.atomically_retried(arrays), SAMPLES)

    def latest(self) -> pl.DataFrame:
        """The newest sample of each series that has one: `SAMPLES`."""
        rows = self._rows(
            "SELECT s.series_id, l.ts, l.value FROM series s CROSS JOIN LATERAL ("
            " SELECT ts, value FROM samples WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1) l"
            " WHERE s.tenant = %(tenant)s ORDER BY s.series_id",
            {},
        )
        return pl.DataFrame(rows, schema=SAMPLES)

    def span(self) -> tuple[datetime, datetime] | None:
        """The times of the tenant's first and last sample; null when there are none."""
        rows = self._rows(
            "SELECT min(l.first) AS first, max(l.last) AS last FROM series s CROSS JOIN LATERAL ("
            " SELECT (SELECT ts FROM samples WHERE series_id = s.series_id ORDER BY ts LIMIT 1) AS first,"
            " (SELECT ts FROM samples WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1) AS last) l"
            " WHERE s.tenant = %(tenant)s",
            {},
        )
        first, last = rows[0]["first"], rows[0]["last"]
        return None if first is None else (utc(first), utc(last))

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        """Series id -> the time of its newest sample, of those that have one."""
        rows = self._rows(
            "SELECT s.series_id, l.ts FROM series s CROSS JOIN LATERAL ("
            " SELECT ts FROM samples WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1) l"
            " WHERE s.tenant = %(tenant)s AND s.series_id = ANY(%(ids)s::bigint[])",
            {"ids": Int8Array(series_ids)},
        )
        return {row["series_id"]: utc(row["ts"]) for row in rows}

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        """Those rows of `times` (series_id, ts) that have a sample."""
        if times.is_empty():
            return pl.DataFrame(schema=TIMES)
        times = times.sort("series_id", "ts")
        ids, moments = times["series_id"].to_numpy(), microseconds_of(times["ts"])
        rows = self._rows(
            f"SELECT w.series_id, w.ts FROM {_NEAR}"
            " JOIN unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) AS w (series_id, ts) USING (series_id, ts)"
            " JOIN series s ON s.series_id = w.series_id AND s.tenant = %(tenant)s",
            {"ids": Int8Array(ids), "times": TimeArray(moments), **_Ranges.of(ids, moments).parameters()},
        )
        return pl.DataFrame(rows, schema=TIMES)

    def remove(self, series_id: int) -> int:
        """Remove all samples and rollups of a series, which were read wrongly; returns how many samples.

        Those in files of the archive are not read any more.
        """
        with self._session.connection() as connection:
            tables = ["samples"] if timescale_in_use(connection) else ["rollups_5m", "rollups_1h", "samples"]
        self._session.execute(
            "UPDATE archived_days SET removed = array_append(removed, %(id)s)"
            " WHERE tenant = %(tenant)s AND %(id)s <> ALL(removed)",
            {"id": series_id},
        )
        known = "SELECT series_id FROM series WHERE tenant = %(tenant)s AND series_id = %(id)s"
        if not self._session.rows(known, {"id": series_id}):
            return 0
        note_write(self._session, ALL)
        # TimescaleDB computes its rollups again from the samples. With a plain id it deletes compressed samples as they
        # are; with a subquery it would have to decompress those of all series.
        return [
            self._session.execute(f"DELETE FROM {table} WHERE series_id = %(id)s", {"id": series_id})
            for table in tables
        ][-1]

    def _rows(self, query: str, parameters: dict[str, Any]) -> list[DictRow]:
        return self._session.atomically_retried(lambda: self._session.rows(query, parameters))

    def _insert_and_note(self, frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        inserted, conflicts = self._insert(frame)
        if inserted:
            oldest = int(microseconds_of(frame["ts"]).min())
            note_write(self._session, _EPOCH + timedelta(microseconds=oldest))
        return inserted, conflicts

    def _insert(self, frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        """Store what is not stored yet; returns how many rows were, and the rows that contradict stored ones."""
        with self._session.connection() as connection:
            ids, times, _ = sample_arrays(frame)
            ranges = _Ranges.of(ids, times)
            self._require_registered(connection, ranges.ids)
            if len(ranges.ids) == frame.height:
                # One sample a series: to look for stored ones would cost as much as to insert.
                return _merge(connection, frame)
            occupied = _occupied(connection, ranges)
            hit = pl.col("series_id").is_in(occupied)
            fresh, other = (frame.filter(~hit), frame.filter(hit)) if occupied else (frame, frame.clear())
            if not _copy_unless_taken(connection, fresh):
                fresh, other = fresh.clear(), frame
            if other.is_empty():
                return fresh.height, pl.DataFrame(schema=_CONFLICTS)
            merged, conflicts = _merge(connection, other)
            return fresh.height + merged, conflicts

    def _require_registered(self, connection: Connection, series_ids: IntArray) -> None:
        """Check that all series are this tenant's."""
        known = connection.execute(
            "SELECT count(*) FROM series WHERE tenant = %s AND series_id = ANY(%s::bigint[])",
            [self._session.tenant, Int8Array(series_ids)],
        ).fetchone()
        if known is None or known[0] != len(series_ids):
            raise UnknownSeriesError(
                f"not all of the {len(series_ids)} series are registered for this tenant"
            )


@dataclass(frozen=True, slots=True)
class _Ranges:
    """First and last time of each series, in microseconds since 1970."""

    ids: IntArray
    first: IntArray
    last: IntArray

    @classmethod
    def of(cls, ids: IntArray, times: IntArray) -> "_Ranges":
        """Args:
        times: in microseconds since 1970; sorted by id and time, at least one.
        """
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        last = np.append(first[1:], len(ids)) - 1
        return cls(ids[first], times[first], times[last])

    def parameters(self) -> dict[str, object]:
        """What `_RANGES` and `_STORED` need."""
        return {
            "near": Int8Array(self.ids),
            "firsts": TimeArray(self.first),
            "lasts": TimeArray(self.last),
            "from": _EPOCH + timedelta(microseconds=int(self.first.min())),
            "until": _EPOCH + timedelta(microseconds=int(self.last.max())),
        }


def _first_of_each(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sorted, one row for each series and time (the first given), and the rows that contradict it."""
    ids, times, values = sample_arrays(frame)
    if not is_ordered(ids, times):
        order = np.lexsort((times, ids))  # stable
        ids, times, values = ids[order], times[order], values[order]
        frame = frame_of(SAMPLES, ids, times, values)
    again = np.zeros(len(ids), dtype=bool)
    again[1:] = (ids[1:] == ids[:-1]) & (times[1:] == times[:-1])
    if not again.any():
        return frame, pl.DataFrame(schema=_CONFLICTS)
    first = pl.Series(~again)
    stored = pl.when(first).then(pl.col("value")).forward_fill()
    repeated = frame.with_columns(stored=stored).filter(~first)
    return frame.filter(first), repeated.filter(pl.col("value") != pl.col("stored"))


def _occupied(connection: Connection, ranges: _Ranges) -> list[int]:
    """Ids of the series that have a stored sample within their range: one index probe each."""
    rows = connection.execute(
        f"SELECT r.id FROM {_RANGES} CROSS JOIN LATERAL ({_STORED} LIMIT 1) p", ranges.parameters()
    ).fetchall()
    return [row[0] for row in rows]


def _copy_unless_taken(connection: Connection, frame: pl.DataFrame) -> bool:
    """COPY into the table. Returns false, with nothing written, when another writer was faster."""
    if frame.is_empty():
        return True
    try:
        with connection.transaction():
            _copy(connection, "COPY samples (series_id, ts, value) FROM STDIN (FORMAT BINARY)", frame)
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _copy(connection: Connection, statement: str, frame: pl.DataFrame) -> None:
    ids, times, values = sample_arrays(frame)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(COPY_HEADER)
        for at in range(0, len(ids), COPY_CHUNK_ROWS):
            part = slice(at, at + COPY_CHUNK_ROWS)
            copy.write(sample_rows(ids[part], times[part], values[part]))
        copy.write(COPY_TRAILER)


def _merge(connection: Connection, frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
    """Insert what is not stored yet; returns how many rows were, and the rows that contradict stored ones."""
    ids, times, values = sample_arrays(frame)
    columns = {"ids": Int8Array(ids), "times": TimeArray(times), "values": Float8Array(values)}
    given = "unnest(%(ids)s::bigint[], %(times)s::timestamptz[], %(values)s::float8[]) AS i (series_id, ts, value)"
    inserted = connection.execute(
        f"INSERT INTO samples SELECT * FROM {given} ON CONFLICT DO NOTHING", columns
    ).rowcount
    if inserted == frame.height:
        return inserted, pl.DataFrame(schema=_CONFLICTS)
    conflicts = connection.execute(
        f"SELECT i.series_id, i.ts, i.value, p.value FROM {_NEAR} JOIN {given} USING (series_id, ts)"
        " WHERE i.value <> p.value ORDER BY i.series_id, i.ts",
        {**columns, **_Ranges.of(ids, times).parameters()},
    ).fetchall()
    return inserted, pl.DataFrame(conflicts, schema=_CONFLICTS, orient="row")
