"""Writes and reads PostgreSQL's binary COPY and array formats as whole NumPy arrays instead of row by row.

References:
    https://www.postgresql.org/docs/current/sql-copy.html (Binary Format)
    array_recv in src/backend/utils/adt/arrayfuncs.c
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader

from core.arrays import FloatArray, IntArray
from core.frames import Schema, frame_of
from core.moments import microseconds

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
#: Microseconds from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL.
EPOCH_US = 946_684_800_000_000
INT8_OID = 20
FLOAT8_OID = 701
TIMESTAMPTZ_OID = 1184
FLOAT8_ARRAY_OID = 1022
INT8_ARRAY_OID = 1016
TIMESTAMPTZ_ARRAY_OID = 1185

#: A value of a column that is the same in all rows of a COPY.
Constant = str | datetime | int | None

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


def table_rows(constants: Sequence[Constant], integers: IntArray, values: FloatArray) -> bytes:
    """COPY rows of some columns that are the same in all rows, then bigint, then double precision, as `sample_rows`.

    Args:
        constants: text, a time, an integer that becomes `integer`, or null.
        integers: (rows, columns); a timestamptz is a bigint, microseconds since `EPOCH_US`.
        values: (rows, columns); NaN means missing and becomes null.
    """
    count, columns = values.shape
    fields = len(constants) + integers.shape[1] + columns
    start = fields.to_bytes(2, "big") + b"".join(map(_field, constants))
    whole, cells = np.empty(integers.shape, dtype=_INT_ELEMENT), np.empty(values.shape, dtype=_FLOAT_ELEMENT)
    whole["bytes"], whole["value"] = 8, integers
    missing = np.isnan(values)
    cells["bytes"], cells["value"] = np.where(missing, -1, 8), values
    head = np.concatenate([np.tile(_bytes(start), (count, 1)), _bytes(whole).reshape(count, -1)], axis=1)
    rows = np.concatenate([head, _bytes(cells).reshape(count, -1)], axis=1)
    if not missing.any():
        return bytes(rows)
    # A missing value has a length of -1 and no bytes after it.
    kept = np.ones((count, columns, _FLOAT_ELEMENT.itemsize), dtype=bool)
    kept[missing, 4:] = False
    kept = np.concatenate([np.ones(head.shape, dtype=bool), kept.reshape(count, -1)], axis=1)
    return bytes(rows[kept])


def _field(value: Constant) -> bytes:
    """A field with its length in front of it; null has a length of -1."""
    match value:
        case None:
            return b"\xff\xff\xff\xff"
        case str():
            data = value.encode()
        case datetime():
            data = (microseconds(value) - EPOCH_US).to_bytes(8, "big", signed=True)
        case int():
            data = value.to_bytes(4, "big", signed=True)
    return len(data).to_bytes(4, "big") + data


def _bytes(data: Buffer | npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


class Float8Array:
    """A double precision[] to write. A missing element is NaN, so that all elements have the same width."""

    def __init__(self, values: FloatArray) -> None:
        self.values = values


class Int8Array:
    """A bigint[] to write."""

    def __init__(self, values: npt.ArrayLike) -> None:
        self.values: IntArray = np.asarray(values, dtype=np.int64)


class TimeArray:
    """A timestamptz[] to write, from microseconds since 1970."""

    def __init__(self, values: IntArray) -> None:
        self.values = values - EPOCH_US


class _ArrayDumper(Dumper):
    """Writes an array whose elements have eight bytes.

    The class has no `oid`: psycopg would use it for lists as well, when the type of a column is given.
    """

    format = pq.Format.BINARY
    array_oid: int
    element_oid: int
    element: np.dtype[np.void]

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self.oid = self.array_oid

    def dump(self, obj: Float8Array | Int8Array | TimeArray) -> bytes:
        elements = np.empty(len(obj.values), dtype=self.element)
        elements["bytes"] = 8
        elements["value"] = obj.values
        return _array_header(self.element_oid, len(elements)) + elements.tobytes()


class _Float8ArrayDumper(_ArrayDumper):
    array_oid = FLOAT8_ARRAY_OID
    element_oid = FLOAT8_OID
    element = _FLOAT_ELEMENT


class Float8ArrayDumper(_Float8ArrayDumper):
    """Writes a `Float8Array`, also to columns of a COPY whose types are given."""

    oid = FLOAT8_ARRAY_OID


class _Int8ArrayDumper(_ArrayDumper):
    array_oid = INT8_ARRAY_OID
    element_oid = INT8_OID
    element = _INT_ELEMENT


class _TimeArrayDumper(_ArrayDumper):
    array_oid = TIMESTAMPTZ_ARRAY_OID
    element_oid = TIMESTAMPTZ_OID
    element = _INT_ELEMENT


def write_arrays(adapters: AdaptersMap) -> None:
    """Let these adapters write `Float8Array`, `Int8Array` and `TimeArray`."""
    adapters.register_dumper(Float8Array, _Float8ArrayDumper)
    adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    adapters.register_dumper(TimeArray, _TimeArrayDumper)


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


def sent_times(data: Buffer, lengths: IntArray) -> IntArray:
    """The elements of several arrays of times that `array_send` wrote one after the other, in µs since 1970.

    Args:
        lengths: of the arrays, each at least 1.
    """
    return _sent(data, lengths).view(np.int64) + EPOCH_US


def sent_floats(data: Buffer, lengths: IntArray) -> FloatArray:
    """As `sent_times`, of arrays of double precision."""
    return _sent(data, lengths).view(np.float64)


def _sent(data: Buffer, lengths: IntArray) -> npt.NDArray[np.uint64]:
    """The eight bytes of each element. Header and elements are whole words of four bytes."""
    words = np.frombuffer(data, dtype=">u4")
    header, element = _ARRAY_HEADER.itemsize // 4, _INT_ELEMENT.itemsize // 4
    before = np.cumsum(lengths) - lengths
    starts = header * np.arange(1, len(lengths) + 1) + element * before
    at = np.repeat(starts - element * before, lengths) + element * np.arange(lengths.sum()) + 1
    high, low = words[at].astype(np.uint64), words[at + 1].astype(np.uint64)
    return np.asarray(high << np.uint64(32) | low, dtype=np.uint64)


def read_arrays(cursor: psycopg.Cursor[object]) -> None:
    """Let this cursor return arrays of floats, integers and times as NumPy arrays."""
    cursor.adapters.register_loader(FLOAT8_ARRAY_OID, Float8ArrayLoader)
    cursor.adapters.register_loader(INT8_ARRAY_OID, IntArrayLoader)
    cursor.adapters.register_loader(TIMESTAMPTZ_ARRAY_OID, TimeArrayLoader)


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
    ordered = sorted(rows, key=lambda row: int(row[0]))
    columns: list[npt.NDArray[Any]] = [
        np.repeat([row[0] for row in ordered], [len(row[1]) for row in ordered])
    ]
    columns += [np.concatenate([row[n] for row in ordered]) for n in range(1, len(schema))]
    return frame_of_columns(columns, schema)


def frame_of_columns(columns: Sequence[npt.NDArray[Any]] | None, schema: Schema) -> pl.DataFrame:
    """A frame from one array for each column; null, or null arrays, are no rows.

    Args:
        schema: series_id, ts and the further columns. The times of a series may come in any order.
    Returns:
        The frame, by series_id, ts.
    """
    if columns is None or columns[0] is None:
        return pl.DataFrame(schema=schema)
    ids, times = columns[:2]
    if not is_ordered(ids, times):
        order = np.lexsort((times, ids))
        columns = [column[order] for column in columns]
    return frame_of(schema, *columns)


def is_ordered(ids: IntArray, times: IntArray) -> bool:
    """Whether rows are in the order of series and time, and no series has a time twice."""
    same = ids[1:] == ids[:-1]
    return bool(np.all((ids[1:] > ids[:-1]) | (same & (times[1:] > times[:-1]))))
