"""Reads numbers as people and programs write them: decimal commas, thousands separators, per cent and units.

References:
    https://cldr.unicode.org/translation/number-currency-formats/number-symbols
    https://github.com/grafana/grafana/tree/main/packages/grafana-data/src/valueFormats
"""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class DecimalMark(StrEnum):
    """What separates the integer part of a number from its fraction; the other one separates thousands."""

    POINT = "."
    COMMA = ","


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that a cell can have: `base` is the unit that Forewarn stores, `factor` how many of it."""

    base: str
    factor: float


def _scaled(base: str, factors: dict[str, float], *endings: str) -> dict[str, Unit]:
    return {prefix + ending: Unit(base, factor) for prefix, factor in factors.items() for ending in endings}


_BINARY = {f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTPE", start=1)}
_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}

#: Letter case counts, because `b` is a bit and `B` a byte.
UNITS: dict[str, Unit] = {
    "%": Unit("%", 1.0),
    **_scaled("bytes", _DECIMAL | _BINARY, "B"),
    **_scaled("bytes", {"": 1.0}, "byte", "bytes", "Bytes"),
    **_scaled("bits", _DECIMAL | _BINARY, "b"),
    **_scaled("bits", {"": 1.0}, "bit", "bits"),
    **_scaled("bytes/s", _DECIMAL | _BINARY, "B/s", "Bps"),
    **_scaled("bits/s", _DECIMAL | _BINARY, "b/s", "bps", "bit/s"),
    **_scaled("seconds", {"n": 1e-9, "µ": 1e-6, "μ": 1e-6, "u": 1e-6, "m": 1e-3, "": 1.0}, "s"),
    **_scaled("seconds", {"": 1.0}, "sec", "secs", "second", "seconds"),
    **_scaled("seconds", {"": 60.0}, "min", "mins", "minute", "minutes"),
    **_scaled("seconds", {"": 3600.0}, "h", "hour", "hours"),
    **_scaled("seconds", {"": 86400.0}, "d", "day", "days"),
    **_scaled("seconds", {"": 604800.0}, "week", "weeks"),
    **_scaled("requests/s", {"": 1.0, "k": 1e3, "K": 1e3}, "req/s", "reqps", "rps"),
    **_scaled("1/s", {"": 1.0, "k": 1e3, "K": 1e3}, "ops/s", "ops", "/s", "io/s", "iops"),
    **_scaled("celsius", {"": 1.0}, "°C", "℃"),
    # Grafana's "short": a number without a unit.
    **_scaled("", {"k": 1e3, "K": 1e3, "Mil": 1e6, "M": 1e6, "Bil": 1e9, "Tri": 1e12}, ""),
}

#: What exports write where there is no value.
MISSING = frozenset({"", "-", "nan", "null", "none", "n/a", "na", "undefined"})

_EXPONENT = r"(?:[eE][+-]?\d+)?"
#: A number, and what follows it.
_PARTS = rf"^([+-]?[\d.,]*\d[\d.,]*{_EXPONENT}|[+-]?\d[\d.,]*{_EXPONENT})\s*([^\d\s.,+-].*)?$"
_VALID = {
    DecimalMark.POINT: rf"^[+-]?(?:\d+|[1-9]\d{{0,2}}(?:,\d{{3}})+)?(?:\.\d*)?{_EXPONENT}$",
    DecimalMark.COMMA: rf"^[+-]?(?:\d+|[1-9]\d{{0,2}}(?:\.\d{{3}})+)?(?:,\d*)?{_EXPONENT}$",
}
#: One separator and three digits: `1,234` is 1234 or 1.234.
_UNCLEAR = {mark: rf"^[+-]?[1-9]\d{{0,2}}\{mark.value}\d{{3}}$" for mark in DecimalMark}


def read_quantities(column: pl.Series, mark: DecimalMark) -> pl.DataFrame:
    """The numbers of a column.

    Returns:
        `value`: float64 in the base unit; null where the cell is no number or has an unknown unit.
        `unit`: the base unit that the cell names; null where it names none.
    """
    if not column.dtype.is_nested() and not isinstance(column.dtype, pl.String):
        return _typed(column)
    text = column.str.strip_chars()
    no_unit = pl.Series("unit", [None], dtype=pl.String).new_from_index(0, len(text))
    if mark is DecimalMark.POINT:
        plain = text.cast(pl.Float64, strict=False)
        if plain.null_count() == text.null_count() + (text == "").sum():
            return pl.DataFrame({"value": plain, "unit": no_unit})
    else:
        plain = pl.Series("value", [None], dtype=pl.Float64).new_from_index(0, len(text))
    cells = pl.DataFrame({"number": _numbers(text), "unit": _units(text), "plain": plain})
    valid = pl.col("number").str.contains(_VALID[mark]) & pl.col("number").str.contains(r"\d")
    thousands = "," if mark is DecimalMark.POINT else "."
    number = (
        pl.col("number").str.replace_all(thousands, "", literal=True).str.replace(",", ".", literal=True)
    ).cast(pl.Float64, strict=False)
    bases = {name: unit.base for name, unit in UNITS.items()} | {"": ""}
    factors = {name: unit.factor for name, unit in UNITS.items()} | {"": 1.0}
    unit = pl.col("unit").fill_null("")
    factor = unit.replace_strict(factors, default=None, return_dtype=pl.Float64)
    base = unit.replace_strict(bases, default=None, return_dtype=pl.String)
    return cells.select(
        value=pl.coalesce("plain", pl.when(valid).then(number * factor)),
        unit=pl.when(base != "").then(base),
    )


def _typed(column: pl.Series) -> pl.DataFrame:
    """Numbers as they are, booleans as 0 and 1, durations in seconds, decimals as the nearest float."""
    no_unit = pl.Series("unit", [None], dtype=pl.String).new_from_index(0, len(column))
    if isinstance(column.dtype, pl.Duration):
        seconds = column.dt.total_nanoseconds().cast(pl.Float64) / 1e9
        unit = pl.Series("unit", ["seconds"]).new_from_index(0, len(column))
        return pl.DataFrame({"value": seconds, "unit": unit})
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return pl.DataFrame({"value": column.cast(pl.Float64), "unit": no_unit})
    return read_quantities(column.cast(pl.String), DecimalMark.POINT)


@dataclass(slots=True)
class MarkEvidence:
    """What the cells of a file tell about its decimal mark: the first line that proves each, and an unclear one."""

    proven: dict[DecimalMark, tuple[int, str]]
    unclear: tuple[int, str] | None = None

    def add(self, column: pl.Series, lines: pl.Series) -> None:
        """Take the cells of one text column into account."""
        cells = pl.DataFrame({"line": lines, "text": column, "number": _numbers(column.str.strip_chars())})
        cells = cells.filter(pl.col("number").str.contains(r"[.,]"))
        if cells.is_empty():
            return
        number = pl.col("number")
        for mark in DecimalMark:
            other = _VALID[DecimalMark.COMMA if mark is DecimalMark.POINT else DecimalMark.POINT]
            proof = number.str.contains(_VALID[mark]) & ~number.str.contains(other)
            if mark not in self.proven and (row := _first(cells.filter(proof))):
                self.proven[mark] = row
        # A point before three digits is usual in programs, a comma is not: only the comma leaves a doubt.
        if self.unclear is None:
            self.unclear = _first(cells.filter(number.str.contains(_UNCLEAR[DecimalMark.COMMA])))

    @property
    def is_settled(self) -> bool:
        """Whether both marks are proven, so that further cells change nothing."""
        return len(self.proven) == 2


def _first(cells: pl.DataFrame) -> tuple[int, str] | None:
    return None if cells.is_empty() else (cells["line"][0], cells["text"][0])


def is_plain(name: str) -> pl.Expr:
    """Whether all cells of a text column are numbers with a decimal point, and one of them is surely no thousand."""
    text = pl.col(name).str.strip_chars()
    empty = text.str.to_lowercase().is_in(list(MISSING)).fill_null(True)
    is_read = text.cast(pl.Float64, strict=False).is_not_null() | empty
    dotted = text.filter(text.str.contains(".", literal=True).fill_null(False))
    is_clear = (dotted.len() == 0) | ~dotted.str.contains(_UNCLEAR[DecimalMark.POINT]).all()
    return (is_read.all() & is_clear).alias(name)


def is_number(column: pl.Series) -> pl.Series:
    """Whether each cell of a text column is a number in any notation; null where the cell is missing."""
    text = column.str.strip_chars()
    empty = text.str.to_lowercase().is_in(list(MISSING)).fill_null(True)
    read = text.cast(pl.Float64, strict=False).is_not_null()
    number, unit = _numbers(text), _units(text).fill_null("")
    valid = number.str.contains(_VALID[DecimalMark.POINT]) | number.str.contains(_VALID[DecimalMark.COMMA])
    known = unit.is_in([*UNITS, ""])
    found = (read | (valid & known)).fill_null(False)
    return found.zip_with(~empty, pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(text)))


def is_in_other_notation(mark: DecimalMark) -> pl.Expr:
    """Whether the cell `_text`, which is no number with this decimal mark, is one with the other mark."""
    other = DecimalMark.COMMA if mark is DecimalMark.POINT else DecimalMark.POINT
    return pl.col("_text").str.contains(_VALID[other]).fill_null(False)


def _cleaned(text: pl.Series) -> pl.Series:
    """With an ASCII minus, without blanks and apostrophes between thousands, and 0 and 1 for false and true."""
    text = text.str.replace("\u2212", "-", literal=True)
    text = text.str.replace("(?i)^false$", "0").str.replace("(?i)^true$", "1")
    for _ in range(2):  # the groups of "1 234 567" overlap
        text = text.str.replace_all(r"(\d)[ \u00a0\u2009\u202f'’](\d{3})\b", "${1}${2}")
    return text


def _numbers(text: pl.Series) -> pl.Series:
    return _cleaned(text).str.extract(_PARTS, 1)


def _units(text: pl.Series) -> pl.Series:
    return _cleaned(text).str.extract(_PARTS, 2).str.strip_chars()
