"""The two frames that travel between parts, and the check that a frame is one of them."""

from collections.abc import Mapping

import polars as pl

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

#: Spans of time of a service that nothing may be learned from (maintenance, incidents, confirmed anomalies).
EXCLUSIONS: Schema = {
    "service": pl.String,
    "start": TIME,
    "end": TIME,
}


def require_frame(frame: pl.DataFrame, schema: Schema, name: str = "frame") -> pl.DataFrame:
    """The columns of `schema`, in its order.

    Raises:
        InvalidFrameError: naming the column that lacks, or whose dtype differs, and the dtype it has.
    """
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise InvalidFrameError(
                f"{name} lacks column {column!r}; it has {', '.join(frame.columns) or 'none'}"
            )
        if frame.schema[column] != dtype:
            raise InvalidFrameError(f"{name} column {column!r} must be {dtype}, got {frame.schema[column]}")
    return frame.select(list(schema))
