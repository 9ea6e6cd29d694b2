"""The frames that travel between parts, and the check that a frame is one of them.

A push has few rows. Most operations of Polars hand their work to other threads, and beside a busy interpreter each
of them takes some milliseconds. Hence the functions here that need none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import polars as pl

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InvalidFrameError

TIME = pl.Datetime("us", "UTC")

#: Column -> dtype, in order.
Schema = Mapping[str, pl.DataType | type[pl.DataType]]

#: Long form of many series; sorted by series_id, then ts; no duplicates; value null = missing.
SAMPLES: Schema = {
    "series_id": pl.Int64,
    "ts": TIME,
    "value": pl.Float64,
}

#: Times of series.
TIMES: Schema = {name: SAMPLES[name] for name in ("series_id", "ts")}

#: Times at which counts were counted, and since when.
CREATED: Schema = {**TIMES, "created": TIME}

#: Native histograms as they were sent: series of the number of values, time, message, since when it counts (null: not
#: known), and the series of the quantiles.
HISTOGRAMS: Schema = {
    **TIMES,
    "content": pl.Binary,
    "created": TIME,
    "p50": pl.Int64,
    "p90": pl.Int64,
    "p99": pl.Int64,
}

#: Time ranges of a service that models must not learn from (maintenance, incidents, confirmed anomalies).
EXCLUSIONS: Schema = {
    "service": pl.String,
    "start": TIME,
    "end": TIME,
}


def require_frame(frame: pl.DataFrame, schema: Schema, name: str = "frame") -> pl.DataFrame:
    """The columns of `schema`, in its order.

    Raises:
        InvalidFrameError: a column is missing or has another dtype; the error names both.
    """
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise InvalidFrameError(
                f"{name} lacks column {column!r}; it has {', '.join(frame.columns) or 'none'}"
            )
        if frame.schema[column] != dtype:
            raise InvalidFrameError(f"{name} column {column!r} must be {dtype}, got {frame.schema[column]}")
    return frame if frame.columns == list(schema) else frame.select(list(schema))


def frame_of(schema: Schema, *columns: npt.NDArray[Any]) -> pl.DataFrame:
    """A frame from one array for each column; times in microseconds since 1970."""
    pairs = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(name, column).cast(dtype) for (name, dtype), column in pairs])


def microseconds_of(times: pl.Series) -> IntArray:
    """Times as microseconds since 1970."""
    return times.cast(pl.Int64).to_numpy()


def sample_arrays(samples: pl.DataFrame) -> tuple[IntArray, IntArray, FloatArray]:
    """Ids, times in microseconds since 1970, and values of `SAMPLES`."""
    return samples["series_id"].to_numpy(), microseconds_of(samples["ts"]), samples["value"].to_numpy()


def stacked(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all frames, which have the same columns; there is at least one frame."""
    filled = [frame for frame in frames if not frame.is_empty()]
    if len(filled) <= 1:
        return filled[0] if filled else frames[0]
    return pl.concat(filled)


def chosen_rows(frame: pl.DataFrame, chosen: BoolArray) -> pl.DataFrame:
    """The rows for which `chosen` is true."""
    if chosen.all():
        return frame
    return frame.filter(pl.Series(chosen)) if chosen.any() else frame.clear()


def rows_without(frame: pl.DataFrame, others: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """The rows whose columns `on` are not among those of the others."""
    if frame.is_empty() or others.is_empty():
        return frame
    return frame.join(others, on=list(on), how="anti", maintain_order="left")


def with_reason(rows: pl.DataFrame, reason: pl.Expr) -> pl.DataFrame:
    """The rows with the column `reason`: why they are rejected."""
    if rows.is_empty():
        return pl.DataFrame(schema={**rows.schema, "reason": pl.String})
    return rows.with_columns(reason=reason)


def has_null(frame: pl.DataFrame) -> bool:
    """Whether any value is null."""
    return any(column.null_count() for column in frame.get_columns())
