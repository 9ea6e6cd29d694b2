"""Parses times as people and programs write them; the result is UTC."""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from core.frames import TIME

#: Below these limits an epoch is in seconds, milliseconds or microseconds; above, in nanoseconds. 1e11 s: year 5138.
EPOCH_LIMITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
_NANOSECONDS = 1_000
#: A smaller number is no epoch for sure.
_LEAST_EPOCH = 1e8
#: Microseconds of the years 1 and 9999, between which Python has times.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999

_PLAIN = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
_OTHER = (
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%d %b %Y %H:%M:%S%.f",
    "%d %b %Y %H:%M",
    "%d %b %Y %I:%M:%S %p",
    "%d %b %Y",
)
_OTHER_ZONED = ("%d %b %Y %H:%M:%S%.f%#z",)


class DateOrder(StrEnum):
    """The order of day, month and year in dates that do not begin with a year of four digits."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


#: A date whose order its own form does not tell.
_DATE = r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{4}|\d{2})\b"
_LONG_YEAR, _SHORT_YEAR = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})\b", r"^(\d{1,2})[./-](\d{1,2})[./-](\d{2})\b"
#: Pattern and replacement, for each order.
_YEAR_FIRST = {
    DateOrder.DMY: ((_LONG_YEAR, "${3}-${2}-${1}"), (_SHORT_YEAR, "20${3}-${2}-${1}")),
    DateOrder.MDY: ((_LONG_YEAR, "${3}-${1}-${2}"), (_SHORT_YEAR, "20${3}-${1}-${2}")),
    DateOrder.YMD: ((_SHORT_YEAR, "20${1}-${2}-${3}"),),
}
#: Applied in turn to what is no plain ISO 8601.
_NORMAL_FORMS = (
    ("[\u00a0\u202f]", " "),
    (r"(?i)\s*(UTC|GMT|Z)$", ""),
    (r"(:\d{2}),(\d+)", "${1}.${2}"),  # log4j's milliseconds
    (r"\s+([+-]\d{2}:?\d{2})$", "${1}"),
    (r"(?i)\s*\ba\.?m\.?$", " AM"),
    (r"(?i)\s*\bp\.?m\.?$", " PM"),
    (r"^(\d{4})(\d{2})(\d{2})[T ](\d{2}):?(\d{2}):?(\d{2})", "${1}-${2}-${3} ${4}:${5}:${6}"),
    # [Fri, ]20 Nov 2026, 20-Nov-2026, 20/Nov/2026:00:05:00 and [Friday, ]November 20, 2026
    (r"^(?:[A-Za-z]{3,9},?\s+)?(\d{1,2})[ /-]([A-Za-z]{3})[a-z]*[ /-](\d{4})[ :,]*", "${1} ${2} ${3} "),
    (r"^(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3})[a-z]*\s+(\d{1,2}),?\s+(\d{4})[ ,]*", "${2} ${1} ${3} "),
)


def parse_times(column: pl.Series, order: DateOrder | None = None) -> pl.Series:
    """Each value as a UTC time; null where it is not a time.

    Accepts ISO 8601 (with `T` or a blank, `-` or `/`; without a zone it is UTC), epochs as numbers or text (seconds to
    nanoseconds, depending on their size), dates, English names of months, and times of any precision.

    Args:
        order: of dates such as `3/4/2026`; null: only dates with points are read, which have the day first.
    Examples:
        >>> parse_times(pl.Series(["2026-01-05T00:00:00+01:00", "1767571200", "soon"])).dt.to_string("iso").to_list()
        ['2026-01-04 23:00:00.000000+00:00', '2026-01-05 00:00:00.000000+00:00', None]
    """
    if column.dtype.is_temporal():
        return _typed(column)
    if column.dtype.is_integer():
        return _in_range(_epochs(column.cast(pl.Int64, strict=False)))
    if column.dtype.is_numeric():
        return _in_range(_fractional_epochs(column.cast(pl.Float64, strict=False)))
    if column.dtype.is_nested() or column.dtype in (pl.Boolean, pl.Null, pl.Binary):
        return pl.Series(column.name, [None], dtype=TIME).new_from_index(0, len(column))
    text = column.cast(pl.String).str.strip_chars()
    plain = text.str.replace_all("/", "-", literal=True).str.replace("[Tt]", " ")
    times = _texts(plain, _PLAIN, _ZONED)
    for parse in (
        _text_epochs,
        lambda left: _texts(_normal(left, order), _PLAIN + _OTHER, _ZONED + _OTHER_ZONED),
    ):
        missing = times.is_null() & text.is_not_null()
        if not missing.any():
            break
        times = times.scatter(missing.arg_true(), parse(text.filter(missing)))
    return times


def are_times(cells: pl.Series) -> pl.Series:
    """Whether each cell of text is a time for sure: a date, or an epoch since 1973. Smaller numbers can be anything."""
    numbers = cells.cast(pl.Float64, strict=False)
    dates = parse_times(cells, DateOrder.DMY).is_not_null() | parse_times(cells, DateOrder.MDY).is_not_null()
    return (numbers >= _LEAST_EPOCH).fill_null(dates)


def as_text(column: pl.Series) -> pl.Series:
    """The cells of a flat column as text; times that Python does not have, and durations, as their number."""
    if isinstance(column.dtype, pl.Duration):
        return column.to_physical().cast(pl.String)
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        text = _typed(column).dt.to_string("iso")
        return text.zip_with(text.is_not_null(), column.to_physical().cast(pl.String))
    return column.cast(pl.String)


@dataclass(slots=True)
class DateEvidence:
    """What cells tell about the order of dates: the first line that proves each order, and an unclear one."""

    proven: dict[DateOrder, tuple[int, str]]
    unclear: tuple[int, str] | None = None

    def add(self, column: pl.Series, lines: pl.Series) -> None:
        """Take the cells of a text column into account."""
        text = column.str.strip_chars()
        parts = text.str.extract_groups(_DATE).struct.rename_fields(["a", "mark", "b", "year"])
        rows = pl.DataFrame({"line": lines, "text": text}).hstack(parts.struct.unnest())
        rows = rows.filter(pl.col("a").is_not_null())
        if rows.is_empty():
            return
        first, second = pl.col("a").cast(pl.Int64), pl.col("b").cast(pl.Int64)
        # No country writes the month first with points between.
        points = (pl.col("mark") == ".") & (second <= 12)
        # "20/11/26" can begin with the day or with the year.
        short = (pl.col("year").str.len_chars() == 2) & (pl.col("mark") != ".")
        proofs = {
            DateOrder.DMY: points | ((first > 12) & (second <= 12) & ~short),
            DateOrder.MDY: (second > 12) & (first <= 12),
        }
        for order, proof in proofs.items():
            if order not in self.proven and (row := _first(rows.filter(proof))):
                self.proven[order] = row
        if self.unclear is None:
            self.unclear = _first(rows.filter(~points & (second <= 12) & ((first <= 12) | short)))

    @property
    def is_settled(self) -> bool:
        """Whether two orders are proven, so that further cells change nothing."""
        return len(self.proven) == 2


def _first(rows: pl.DataFrame) -> tuple[int, str] | None:
    return None if rows.is_empty() else (rows["line"][0], rows["text"][0])


def _typed(column: pl.Series) -> pl.Series:
    """Dates and times in UTC; null for durations, times of day, and what Python has no time for."""
    if column.dtype == pl.Date:
        days = column.to_physical().cast(pl.Int64)
        return _in_range(days * 86_400_000_000)
    if not isinstance(column.dtype, pl.Datetime):
        return pl.Series(column.name, [None], dtype=TIME).new_from_index(0, len(column))
    # The physical number is in UTC, whatever the zone; without a zone it is taken for UTC.
    ticks = column.to_physical()
    if column.dtype.time_unit == "ns":
        ticks = ticks // 1_000
    elif column.dtype.time_unit == "ms":
        ticks = _between(ticks, _FIRST_US // 1_000, _LAST_US // 1_000) * 1_000
    return _in_range(ticks)


def _between(numbers: pl.Series, first: int, last: int) -> pl.Series:
    inside = numbers.is_between(first, last).fill_null(True)
    return numbers if inside.all() else numbers.set(~inside, None)


def _in_range(microseconds: pl.Series) -> pl.Series:
    """Microseconds since 1970 as UTC times; null outside the years 1 to 9999."""
    ticks = _between(microseconds, _FIRST_US, _LAST_US)
    return ticks.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _texts(text: pl.Series, plain: tuple[str, ...], zoned: tuple[str, ...]) -> pl.Series:
    """Try the formats in turn, until each value is parsed; most columns have one format."""
    times = pl.Series(text.name, [None], dtype=TIME).new_from_index(0, len(text))
    for form in plain + zoned:
        left = times.is_null() & text.is_not_null()
        if not left.any():
            break
        parsed = text.str.to_datetime(form, time_unit="us", strict=False)
        if form in plain:
            parsed = parsed.dt.replace_time_zone("UTC")
        # "5-1-26" is no date of the year 5.
        parsed = parsed.set((parsed.dt.year() < 1000).fill_null(False), None)
        times = times.zip_with(~left, parsed)
    return times


def _normal(text: pl.Series, order: DateOrder | None) -> pl.Series:
    """The text in a form that `_texts` parses: year first, three letters of a month, the offset attached."""
    for pattern, replacement in _NORMAL_FORMS:
        text = text.str.replace_all(pattern, replacement)
    for pattern, replacement in _YEAR_FIRST[order or DateOrder.DMY]:
        # Without a known order, only dates with points are read.
        text = text.str.replace(pattern if order else pattern.replace("[./-]", r"\."), replacement)
    text = text.str.replace_all("/", "-", literal=True).str.replace(
        r"^(\d{4}-\d{1,2}-\d{1,2})(?:,\s*|T|t)", "${1} "
    )
    return text.str.strip_chars().str.replace_all(r"\s+", " ")


def _text_epochs(text: pl.Series) -> pl.Series:
    whole = text.cast(pl.Int64, strict=False)
    times = _in_range(_epochs(whole))
    return times.zip_with(
        whole.is_not_null(), _in_range(_fractional_epochs(text.cast(pl.Float64, strict=False)))
    )


def _epochs(numbers: pl.Series) -> pl.Series:
    """Microseconds of whole numbers, exactly."""
    size = numbers.abs()
    microseconds = numbers // _NANOSECONDS
    for limit, factor in reversed(EPOCH_LIMITS):
        within = (size < int(limit)).fill_null(False)
        microseconds = microseconds.zip_with(~within, numbers * factor)
    return microseconds


def _fractional_epochs(numbers: pl.Series) -> pl.Series:
    size = numbers.abs()
    microseconds = numbers / _NANOSECONDS
    for limit, factor in reversed(EPOCH_LIMITS):
        within = (size < limit).fill_null(False)
        microseconds = microseconds.zip_with(~within, numbers * factor)
    return microseconds.round().cast(pl.Int64, strict=False)
