"""The frames that travel between parts, and the check that a frame is one of them."""

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
    return frame.select(list(schema))
