"""Reads the rows that `validation.rejected_rows` writes for rejected samples."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

#: Larger integers cannot become a float.
MAX_FLOAT = sys.float_info.max
#: Series id, time, value, and whether the value is a rate.
SampleKey = tuple[int | None, datetime, float, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedSample:
    """A sample as it is stored in a dead letter.

    Attributes:
        series_id: null in rows of older releases, which have only the name.
        series_name: "" when the series was not known.
        is_rate: the value is a rate of a counter. Other values are as they were sent: those of counters are counts.
        file, line: where the sample was read; null: not in a file.
    """

    series_id: int | None
    series_name: str
    is_rate: bool
    ts: datetime
    value: float
    file: str | None
    line: int | None

    @property
    def key(self) -> SampleKey:
        return self.series_id, self.ts, self.value, self.is_rate


def read_rejected_sample(row: str) -> RejectedSample | None:
    """The sample of a row; null when the row is something else, or the sample has no time or no finite value."""
    try:
        read = json.loads(row)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or not {"series", "ts", "value"} <= read.keys():
        return None
    series, series_id = read["series"], read.get("series_id")
    if series_id is None and _is_id(series):
        series, series_id = "", series
    ts, value = _time(read["ts"]), read["value"]
    is_series = isinstance(series, str) and (series_id is None or _is_id(series_id))
    if not is_series or ts is None or not _is_number(value):
        return None
    file, line = _place(read)
    return RejectedSample(
        series_id=series_id,
        series_name=series,
        is_rate=read.get("rate") is True,
        ts=ts,
        value=float(value),
        file=file,
        line=line,
    )


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -MAX_FLOAT <= value <= MAX_FLOAT


def _time(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _place(read: Mapping[str, object]) -> tuple[str | None, int | None]:
    file, line = read.get("file"), read.get("line")
    return (file, line) if isinstance(file, str) and isinstance(line, int) else (None, None)
