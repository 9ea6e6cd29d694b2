"""Parses times as people and programs write them; the result is UTC."""

import polars as pl

from core.frames import TIME

#: Below these limits an epoch is in seconds, milliseconds or microseconds; above, in nanoseconds. 1e11 s: year 5138.
EPOCH_LIMITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0))
_NANOSECONDS = 1e-3

_PLAIN = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")


def parse_times(column: pl.Series) -> pl.Series:
    """Each value as a UTC time; null where it is not a time.

    Accepts ISO 8601 (with `T` or a blank, `-` or `/`; without a zone it is UTC), epochs as numbers or text (seconds to
    nanoseconds, depending on their size), dates, and times of any precision.

    Examples:
        >>> parse_times(pl.Series(["2026-01-05T00:00:00+01:00", "1767571200", "soon"])).dt.to_string("iso").to_list()
        ['2026-01-04 23:00:00.000000+00:00', '2026-01-05 00:00:00.000000+00:00', None]
    """
    if column.dtype.is_temporal():
        return _typed(column)
    if column.dtype.is_numeric():
        return _epochs(column.cast(pl.Float64, strict=False))
    text = column.cast(pl.String).str.strip_chars()
    text = text.str.replace_all("/", "-", literal=True).str.replace("[Tt]", " ")
    times = _texts(text)
    missing = times.is_null() & text.is_not_null()
    return times.zip_with(~missing, _epochs(text.cast(pl.Float64, strict=False))) if missing.any() else times


def _typed(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if not isinstance(column.dtype, pl.Datetime):
        return pl.Series(column.name, [None] * len(column), dtype=TIME)
    column = column.dt.cast_time_unit("us")
    if column.dtype.time_zone is None:  # type: ignore[attr-defined]
        return column.dt.replace_time_zone("UTC")
    return column.dt.convert_time_zone("UTC")


def _texts(text: pl.Series) -> pl.Series:
    """Try the formats in turn, until each value is parsed; most columns have one format."""
    times = pl.Series(text.name, [None] * len(text), dtype=TIME)
    for form in _PLAIN + _ZONED:
        left = times.is_null() & text.is_not_null()
        if not left.any():
            break
        parsed = text.str.to_datetime(form, time_unit="us", strict=False)
        parsed = _typed(parsed)
        times = times.zip_with(~left, parsed)
    return times


def _epochs(numbers: pl.Series) -> pl.Series:
    size = numbers.abs()
    factor = pl.Series([_NANOSECONDS] * len(numbers), dtype=pl.Float64)
    for limit, microseconds in reversed(EPOCH_LIMITS):
        within = (size < limit).fill_null(False)
        factor = factor.zip_with(~within, pl.Series([microseconds] * len(numbers), dtype=pl.Float64))
    exact = (numbers * factor).round().cast(pl.Int64, strict=False)
    return exact.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
