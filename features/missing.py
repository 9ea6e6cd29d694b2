"""Fast conversion between Polars columns, where missing is null, and NumPy arrays, where missing is NaN."""

import polars as pl

from core.arrays import FloatArray


def floats_of(column: pl.Series) -> FloatArray:
    """The values as a new float64 array; null becomes NaN."""
    # This is ten times as fast as `fill_null`.
    return column.cast(pl.Float64).to_numpy(writable=True)


def column_of(values: FloatArray) -> pl.Series:
    """The values as a column without a name; NaN becomes null."""
    # This is thirty times as fast as `fill_nan`.
    return pl.Series(values, nan_to_null=True)
