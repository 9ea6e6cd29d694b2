"""The points of OTLP metrics: their times and values, one by one, and all usual number points of a request at once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

from core.arrays import BoolArray, FloatArray
from core.errors import InputError
from pipelines.sources.buckets import QUANTILES, Buckets
from pipelines.sources.otlp_messages import Encoding, Message
from pipelines.sources.otlp_metric_messages import (
    BUCKETS,
    EXPONENTIAL_POINT,
    HISTOGRAM_POINT,
    NUMBER_POINT,
    QUANTILE,
    SUMMARY_POINT,
)
from pipelines.sources.otlp_quantiles import explicit_buckets, exponential_buckets
from pipelines.sources.protobuf import read_fields

UnsignedArray = npt.NDArray[np.uint64]

#: The messages of the points of each type of metric.
POINTS: Mapping[str, Message] = {
    "gauge": NUMBER_POINT,
    "sum": NUMBER_POINT,
    "histogram": HISTOGRAM_POINT,
    "exponentialHistogram": EXPONENTIAL_POINT,
    "summary": SUMMARY_POINT,
}
DELTA, CUMULATIVE = 1, 2
#: A flag of a point: its series has ended, or was not measured.
_NO_VALUE = 1

#: A usual number point begins with start, time and value, each of 8 bytes after a tag; a gauge may have no start.
HEAD_BYTES = 27
_START, _TIME, _DOUBLE, _INTEGER = 2 << 3 | 1, 3 << 3 | 1, 4 << 3 | 1, 6 << 3 | 1
_NO_START = bytes([_START, *bytes(8)])
_TIME_TAG = bytes([_TIME])
_ATTRIBUTES = 7
_HEAD = np.dtype(
    {
        "names": ["start_tag", "start", "time_tag", "time", "value_tag", "double", "integer"],
        "formats": ["u1", "<u8", "u1", "<u8", "u1", "<f8", "<i8"],
        "offsets": [0, 1, 9, 10, 18, 19, 19],
        "itemsize": HEAD_BYTES,
    }
)


class Values(Enum):
    """What the values of a series are.

    Attributes:
        LEVEL: they are stored as they are.
        COUNT: of a counter; its rates are computed when they are stored.
        DELTA: what a counter grew by since the start of the point, which gives its rate.
    """

    LEVEL = auto()
    COUNT = auto()
    DELTA = auto()

    @property
    def is_counter(self) -> bool:
        return self is not Values.LEVEL


@dataclass(frozen=True, slots=True)
class Ending:
    """What a series of a metric has beyond the name and the attributes.

    Attributes:
        suffix: of its name.
        label, value: a label of one bucket or quantile; empty: none.
    """

    suffix: str = ""
    label: str = ""
    value: str = ""


#: The end of a series, what its values are, and a value.
Part = tuple[Ending, Values, float]
WHOLE, COUNT, SUM = Ending(), Ending("_count"), Ending("_sum")


def values_of(kind: str, temporality: int, *, monotonic: bool) -> Values:
    """What the values of a metric of this type are; of a histogram or summary, its counts.

    Raises:
        InputError: they cannot be stored.
    """
    if kind == "gauge":
        return Values.LEVEL
    if kind == "summary":
        return Values.COUNT
    if temporality not in {DELTA, CUMULATIVE}:
        raise InputError("the temporality is neither delta nor cumulative")
    if kind == "sum" and not monotonic:
        if temporality == DELTA:
            raise InputError(
                "a delta of a sum that can fall tells no level; let the sender use cumulative temporality"
            )
        return Values.LEVEL
    return Values.COUNT if temporality == CUMULATIVE else Values.DELTA


def parts_of_point(
    encoding: Encoding, kind: str, values: Values, fields: Mapping[str, Any]
) -> Sequence[Part]:
    """The values of one point, without those that were not measured.

    Args:
        fields: of the point.
    Raises:
        InputError: the point has no time, no value, or buckets that are wrong.
    """
    if is_without_value(fields):
        return ()
    require_times(values, fields)
    if POINTS[kind] is NUMBER_POINT:
        found = [(WHOLE, values, number_of(fields))]
    else:
        found = [(COUNT, values, float(fields.get("count", 0)))]
        if "sum" in fields:
            found.append((SUM, values, fields["sum"]))
        found += [
            (Ending(f"_{name}"), Values.LEVEL, value)
            for name, value in _quantiles(encoding, kind, values, fields)
        ]
    return [one for one in found if not math.isnan(one[2])]


def is_without_value(fields: Mapping[str, Any]) -> bool:
    """Whether the sender marks a point as one without a recorded value: its series has ended, or was not measured."""
    return bool(fields.get("flags", 0) & _NO_VALUE)


def require_times(values: Values, fields: Mapping[str, Any]) -> None:
    """Check the times of a point.

    Raises:
        InputError: it has no time, or is a delta that does not start before it.
    """
    start, end = fields.get("startTimeUnixNano", 0), fields.get("timeUnixNano", 0)
    if not end:
        raise InputError("it has no time")
    if values is Values.DELTA and not 0 < start < end:
        raise InputError("a delta needs a start before its time")


def number_of(fields: Mapping[str, Any]) -> float:
    """The value of a number point.

    Raises:
        InputError: it has none.
    """
    if "asDouble" not in fields and "asInt" not in fields:
        raise InputError("it has no value")
    return float(fields["asDouble"] if "asDouble" in fields else fields["asInt"])


def quantiles_of_summary(encoding: Encoding, fields: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """The quantiles of a summary (0 to 1) and their values.

    Raises:
        InputError: a quantile is not between 0 and 1.
    """
    for raw in fields.get("quantileValues", ()):
        one = encoding.read(raw, QUANTILE)
        share = one.get("quantile", 0.0)
        if not 0 <= share <= 1:
            raise InputError(f"the quantile {share} is not between 0 and 1")
        yield share, one.get("value", 0.0)


def read_exponential_buckets(encoding: Encoding, fields: Mapping[str, Any]) -> Buckets:
    """The buckets of the point of an exponential histogram."""
    sides = [
        encoding.read(fields[side], BUCKETS) if side in fields else {} for side in ("positive", "negative")
    ]
    return exponential_buckets(fields, *sides)


def _quantiles(
    encoding: Encoding, kind: str, values: Values, fields: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    """Names and values of quantiles: those of a summary, or those of the values that a delta histogram counted."""
    if kind == "summary":
        for share, value in quantiles_of_summary(encoding, fields):
            yield f"p{100 * share:.6g}".replace(".", ""), value
        return
    buckets = explicit_buckets(fields) if kind == "histogram" else read_exponential_buckets(encoding, fields)
    if buckets is None or values is not Values.DELTA:
        return
    for name, share in QUANTILES.items():
        value = buckets.quantile(share, fields.get("min", math.nan), fields.get("max", math.nan))
        if math.isfinite(value):
            yield name, value


def parted(raw: memoryview) -> tuple[bytes, bytes]:
    """The head of a number point in protobuf (`HEAD_BYTES` if it is usual), and its rest."""
    message = bytes(raw)
    if message[:1] == _TIME_TAG:
        return _NO_START + message[:18], message[18:]
    return message[:HEAD_BYTES], message[HEAD_BYTES:]


def has_only_attributes(rest: bytes) -> bool:
    """Whether the rest of a number point is nothing but its attributes."""
    return all(number == _ATTRIBUTES for number, _ in read_fields(memoryview(rest)))


def read_heads(heads: Sequence[bytes]) -> tuple[UnsignedArray, UnsignedArray, FloatArray, BoolArray]:
    """Starts and times in ns and values of number points, and which of them are usual.

    Args:
        heads: of `HEAD_BYTES` each.
    """
    found = np.frombuffer(b"".join(heads), dtype=_HEAD)
    is_double = found["value_tag"] == _DOUBLE
    usual = (
        (found["start_tag"] == _START)
        & (found["time_tag"] == _TIME)
        & (is_double | (found["value_tag"] == _INTEGER))
        & (found["time"] > 0)
    )
    values = np.where(is_double, found["double"], found["integer"].astype(np.float64))
    return found["start"].copy(), found["time"].copy(), values, usual
