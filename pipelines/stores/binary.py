"""Writes and reads PostgreSQL's binary COPY and array formats as whole NumPy arrays instead of row by row.

References:
    https://www.postgresql.org/docs/current/sql-copy.html (Binary Format)
    array_recv in src/backend/utils/adt/arrayfuncs.c
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader

from core.arrays import FloatArray, IntArray
from core.frames import Schema

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
#: Microseconds from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL.
EPOCH_US = 946_684_800_000_000
FLOAT8_OID = 701
FLOAT8_ARRAY_OID = 1022
INT8_ARRAY_OID = 1016
TIMESTAMPTZ_ARRAY_OID = 1185

_SAMPLE_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("id_bytes", ">i4"),
        ("series_id", ">i8"),
        ("ts_bytes", ">i4"),
        ("ts", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
    ]
)
_ARRAY_HEADER = np.dtype(
    [("dimensions", ">i4"), ("nulls", ">i4"), ("oid", ">i4"), ("length", ">i4"), ("start", ">i4")]
)
_FLOAT_ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">f8")])
_INT_ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">i8")])


def sample_rows(series_id: IntArray, ts_us: IntArray, value: FloatArray) -> bytes:
    """COPY rows of (bigint, timestamptz, double precision), without header and trailer.

    Args:
        ts_us: microseconds since 1970; `value` contains no NaN.
    """
    rows = np.empty(len(value), dtype=_SAMPLE_ROW)
    rows["fields"] = 3
    for name in ("id_bytes", "ts_bytes", "value_bytes"):
        rows[name] = 8
    rows["series_id"] = series_id
    rows["ts"] = ts_us - EPOCH_US
    rows["value"] = value
    return rows.tobytes()


def feature_rows(keys: Sequence[str], ts_us: IntArray, values: FloatArray) -> bytes:
    """COPY rows of (text for each of `keys`, timestamptz, double precision for each column), as `sample_rows`.

    Args:
        keys: the same in all rows.
        ts_us: microseconds since 1970.
        values: (rows, columns); NaN means missing and becomes null.
    """
    count, columns = values.shape
    texts = [one.encode() for one in keys]
    start = (len(keys) + 1 + columns).to_bytes(2, "big") + b"".join(
        len(text).to_bytes(4, "big") + text for text in texts
    )
    times, cells = np.empty(count, dtype=_INT_ELEMENT), np.empty((count, columns), dtype=_FLOAT_ELEMENT)
    times["bytes"], times["value"] = 8, ts_us - EPOCH_US
    missing = np.isnan(values)
    cells["bytes"], cells["value"] = np.where(missing, -1, 8), values
    head = np.concatenate([np.tile(_bytes(start), (count, 1)), _bytes(times).reshape(count, -1)], axis=1)
    # A missing value has a length of -1 and no bytes after it.
    kept = np.ones((count, columns, _FLOAT_ELEMENT.itemsize), dtype=bool)
    kept[missing, 4:] = False
    kept = np.concatenate([np.ones(head.shape, dtype=bool), kept.reshape(count, -1)], axis=1)
    rows = np.concatenate([head, _bytes(cells).reshape(count, -1)], axis=1)
    return bytes(rows[kept])


def _bytes(data: Buffer | npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


class Float8Array:
    """A double precision[] to write. A missing element is NaN, so that all elements have the same width."""

    def __init__(self, values: FloatArray) -> None:
        self.values = values


class Float8ArrayDumper(Dumper):
    """Writes a `Float8Array`."""

    format = pq.Format.BINARY
    oid = FLOAT8_ARRAY_OID

    def dump(self, obj: Float8Array) -> bytes:
        elements = np.empty(len(obj.values), dtype=_FLOAT_ELEMENT)
        elements["bytes"] = 8
        elements["value"] = obj.values
        return _array_header(FLOAT8_OID, len(elements)) + elements.tobytes()


def _array_header(oid: int, length: int) -> bytes:
    if length == 0:
        return np.array([0, 0, oid], dtype=">i4").tobytes()
    return np.array([1, 0, oid, length, 1], dtype=">i4").tobytes()


class Float8ArrayLoader(Loader):
    """double precision[] as a NumPy array."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> FloatArray:
        return _elements(data, _FLOAT_ELEMENT).astype(np.float64)


class IntArrayLoader(Loader):
    """bigint[] as a NumPy array."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> IntArray:
        return _elements(data, _INT_ELEMENT).astype(np.int64)


class TimeArrayLoader(Loader):
    """timestamptz[] as microseconds since 1970."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> IntArray:
        return _elements(data, _INT_ELEMENT).astype(np.int64) + EPOCH_US


def _elements(data: Buffer, dtype: np.dtype[np.void]) -> npt.NDArray[np.generic]:
    if len(data) <= 12:  # no dimension: an empty array
        return np.empty(0, dtype=dtype)["value"]
    return np.frombuffer(data, dtype=dtype, offset=_ARRAY_HEADER.itemsize)["value"]


def read_arrays(cursor: psycopg.Cursor[object]) -> None:
    """Let this cursor return arrays of floats, integers and times as NumPy arrays."""
    cursor.adapters.register_loader(FLOAT8_ARRAY_OID, Float8ArrayLoader)
    cursor.adapters.register_loader(INT8_ARRAY_OID, IntArrayLoader)
    cursor.adapters.register_loader(TIMESTAMPTZ_ARRAY_OID, TimeArrayLoader)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def frame_of_arrays(rows: Sequence[tuple[Any, ...]], schema: Schema) -> pl.DataFrame:
    """A long frame from one row for each series: (id, times, further columns...), all but the id arrays.

    Args:
        rows: in any order, and the arrays of a row in any order of time.
        schema: series_id, ts and the further columns.
    Returns:
        The frame, by series_id, ts.
    """
    if not rows:
        return pl.DataFrame(schema=schema)
    ordered = [_in_order_of_time(row) for row in sorted(rows, key=lambda row: int(row[0]))]
    lengths = [len(row[1]) for row in ordered]
    columns: list[npt.NDArray[Any]] = [np.repeat([row[0] for row in ordered], lengths)]
    columns += [np.concatenate([row[n] for row in ordered]) for n in range(1, len(schema))]
    # integer and time have the same bits: both count microseconds since 1970
    pairs = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(name, column).cast(dtype) for (name, dtype), column in pairs])


def _in_order_of_time(row: tuple[Any, ...]) -> tuple[Any, ...]:
    times = row[1]
    if len(times) < 2 or bool(np.all(times[1:] > times[:-1])):
        return row
    order = np.argsort(times, kind="stable")
    return (row[0], *(one[order] for one in row[1:]))
