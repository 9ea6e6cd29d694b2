"""Native histograms of Prometheus: read from a message of remote_write, and what was counted between two of them.

References:
    https://prometheus.io/docs/specs/native_histograms/
    https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from pipelines.sources.buckets import Buckets, Side, bounded_buckets, exponential_buckets, exponential_ends
from pipelines.sources.protobuf import (
    Parts,
    Value,
    as_bytes,
    as_integer,
    as_signed,
    as_zigzag,
    doubles_of,
    integers_of,
    read_fields,
)

#: The schema of buckets between custom bounds, and the lowest and highest schema of exponential buckets.
CUSTOM, LOWEST, HIGHEST = -53, -4, 8
#: Senders reduce their resolution far below this number of buckets.
MAX_BUCKETS = 10_000
_COUNT_INT, _COUNT_FLOAT, _SUM, _SCHEMA, _ZERO_THRESHOLD, _ZERO_INT, _ZERO_FLOAT = range(1, 8)
_NEGATIVE, _POSITIVE = (8, 9, 10), (11, 12, 13)
_RESET_HINT, _TIME, _BOUNDS, _START = 14, 15, 16, 17
#: Field numbers of spans, deltas and counts of one side.
_SideFields = tuple[int, int, int]
#: Two counts of a histogram of floats that should be equal may differ by this share.
_ROUNDING = 1e-6


class ResetHint(IntEnum):
    """What the sender knows about the histogram before this one."""

    UNKNOWN = 0
    RESET = 1
    NO_RESET = 2
    GAUGE = 3


@dataclass(frozen=True, slots=True)
class Counted:
    """The populated buckets of one side.

    Attributes:
        indexes: rising. Bucket i reaches from base^(i - 1) to base^i; of custom buckets, from bound i - 1 to bound i.
        counts: how many values each has.
    """

    indexes: IntArray
    counts: FloatArray

    def reduced(self, levels: int) -> "Counted":
        """The same values in buckets of a schema that is lower by so much."""
        return self if levels == 0 else self.merged(((self.indexes - 1) >> levels) + 1)

    def merged(self, indexes: IntArray) -> "Counted":
        """The same values in buckets with these indexes, which may repeat."""
        unique, places = np.unique(indexes, return_inverse=True)
        counts = np.bincount(places, weights=self.counts, minlength=len(unique))
        return Counted(unique, counts.astype(np.float64))

    def __sub__(self, other: "Counted") -> "Counted":
        both = Counted(
            np.concatenate([self.indexes, other.indexes]), np.concatenate([self.counts, -other.counts])
        )
        return both.merged(both.indexes)

    def chosen(self, chosen: BoolArray) -> "Counted":
        return Counted(self.indexes[chosen], self.counts[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeHistogram:
    """One histogram at one time.

    Attributes:
        time_ms: when it was measured; start_ms: since when it counts, 0 if that is not known.
        count, total: number and sum of all values; a sum that is a stale marker ends the series.
        zero_threshold: values nearer to 0 are counted in `zero_count`.
        bounds: of custom buckets.
    """

    time_ms: int
    start_ms: int
    schema: int
    count: float
    total: float
    zero_threshold: float
    zero_count: float
    positive: Counted
    negative: Counted
    bounds: FloatArray
    hint: ResetHint

    @property
    def is_gauge(self) -> bool:
        return self.hint is ResetHint.GAUGE

    def buckets(self) -> Buckets:
        """Its buckets in the order of their values."""
        if self.schema == CUSTOM:
            counts = np.zeros(len(self.bounds) + 1)
            counts[self.positive.indexes] = self.positive.counts
            return bounded_buckets(self.bounds, counts)
        return exponential_buckets(
            _side(self.positive, self.schema),
            _side(self.negative, self.schema),
            zero_count=self.zero_count,
            around=self.zero_threshold,
        )

    def since(self, earlier: "NativeHistogram") -> "NativeHistogram | None":
        """What was counted since an earlier histogram of the series; null where that is not known.

        After a reset it is all that the histogram has. Of two resolutions the lower one counts.
        """
        if self.hint is ResetHint.RESET or self.count < earlier.count or self.start_ms > earlier.time_ms:
            return self
        if CUSTOM in (self.schema, earlier.schema) and not (
            self.schema == earlier.schema and np.array_equal(self.bounds, earlier.bounds)
        ):
            return None
        new, old = self._aligned_with(earlier), earlier._aligned_with(self)
        grown = replace(
            new,
            count=new.count - old.count,
            zero_count=new.zero_count - old.zero_count,
            positive=new.positive - old.positive,
            negative=new.negative - old.negative,
        )
        least = min(
            grown.zero_count, *(one.counts.min(initial=0.0) for one in (grown.positive, grown.negative))
        )
        return self if least < -_ROUNDING * new.count else grown._without_rounding()

    def _without_rounding(self) -> "NativeHistogram":
        positive, negative = (
            Counted(one.indexes, np.maximum(one.counts, 0.0)) for one in (self.positive, self.negative)
        )
        return replace(self, zero_count=max(self.zero_count, 0.0), positive=positive, negative=negative)

    def _aligned_with(self, other: "NativeHistogram") -> "NativeHistogram":
        """The histogram with the lower resolution and the wider bucket around 0 of both."""
        if self.schema == CUSTOM:
            return self
        schema, around = min(self.schema, other.schema), max(self.zero_threshold, other.zero_threshold)
        sides = []
        zero_count = self.zero_count
        for side in (self.positive, self.negative):
            reduced = side.reduced(self.schema - schema)
            inside = exponential_ends(reduced.indexes, schema) <= around
            zero_count += float(reduced.counts[inside].sum())
            sides.append(reduced.chosen(~inside))
        return replace(
            self,
            schema=schema,
            zero_threshold=around,
            zero_count=zero_count,
            positive=sides[0],
            negative=sides[1],
        )


def _side(counted: Counted, schema: int) -> Side:
    lower, upper = (exponential_ends(counted.indexes - before, schema) for before in (1, 0))
    return Side(lower, upper, counted.counts)


def read_histogram(message: memoryview, parts: Parts | None = None) -> NativeHistogram:
    """A message Histogram.

    Args:
        parts: counts its fields.
    Raises:
        IndexError, TypeError: it is none.
        InputError: its parts contradict each other.
    """
    fields: dict[int, list[Value]] = {}
    for number, value in read_fields(message) if parts is None else parts.counted(read_fields(message)):
        fields.setdefault(number, []).append(value)
    schema = as_zigzag(as_integer(_last(fields, _SCHEMA, 0)))
    if schema != CUSTOM and not LOWEST <= schema <= HIGHEST:
        raise InputError(f"the schema {schema} is not known")
    hint = as_integer(_last(fields, _RESET_HINT, 0))
    found = NativeHistogram(
        time_ms=as_signed(as_integer(_last(fields, _TIME, 0))),
        start_ms=as_signed(as_integer(_last(fields, _START, 0))),
        schema=schema,
        count=_number(fields, _COUNT_INT, _COUNT_FLOAT),
        total=float(doubles_of([_last(fields, _SUM, _NOTHING)])[0]),
        zero_threshold=float(doubles_of([_last(fields, _ZERO_THRESHOLD, _NOTHING)])[0]),
        zero_count=_number(fields, _ZERO_INT, _ZERO_FLOAT),
        positive=_counted(fields, _POSITIVE),
        negative=_counted(fields, _NEGATIVE),
        bounds=doubles_of(fields.get(_BOUNDS, [])),
        hint=ResetHint(hint) if hint in list(ResetHint) else ResetHint.UNKNOWN,
    )
    _require_consistent(found)
    return found


_NOTHING = memoryview(bytes(8))


def _last(fields: dict[int, list[Value]], number: int, default: Value) -> Value:
    """The last value of a field counts, as everywhere in protocol buffers."""
    return fields.get(number, [default])[-1]


def _number(fields: dict[int, list[Value]], whole: int, broken: int) -> float:
    if broken in fields:
        return float(doubles_of([fields[broken][-1]])[0])
    return float(as_integer(_last(fields, whole, 0)))


def _counted(fields: dict[int, list[Value]], numbers: _SideFields) -> Counted:
    spans, deltas, counts = (fields.get(number, []) for number in numbers)
    if sum(1 if isinstance(one, int) else len(one) for one in (*deltas, *counts)) > MAX_BUCKETS * 8:
        raise InputError(f"it has more than {MAX_BUCKETS} buckets on one side")
    if counts:
        values = doubles_of(counts)
    else:
        raw = np.array([as_zigzag(one) for one in integers_of(deltas)], dtype=np.float64)
        values = np.cumsum(raw)
    indexes = _indexes([as_bytes(one) for one in spans], len(values))
    if not (np.isfinite(values).all() and np.all(values >= 0)):
        raise InputError("the count of a bucket is below 0 or not finite")
    return Counted(indexes, values)


def _indexes(spans: Sequence[memoryview], count: int) -> IntArray:
    """The indexes of buckets in spans.

    Raises:
        InputError: the spans have not so many buckets.
    """
    found: list[IntArray] = []
    at = total = 0
    for number, span in enumerate(spans):
        fields = dict(read_fields(span))
        offset, length = as_zigzag(as_integer(fields.get(1, 0))), as_integer(fields.get(2, 0))
        if number and offset < 0:
            raise InputError(f"span {number + 1} of the buckets begins before the end of the one before it")
        total += length
        if total > count:
            break
        at += offset
        if abs(at) + length >= 1 << 31:
            raise InputError("the index of a bucket has more than 32 bits")
        found.append(np.arange(at, at + length, dtype=np.int64))
        at += length
    if total != count:
        raise InputError(
            f"the spans have {'more' if total > count else total} buckets, but {count} have counts"
        )
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _require_consistent(one: NativeHistogram) -> None:
    problems: Sequence[tuple[Callable[[], bool], str]] = (
        (lambda: math.isfinite(one.count) and one.count >= 0, "its count is below 0 or not finite"),
        (
            lambda: math.isfinite(one.zero_count) and one.zero_count >= 0,
            "its zero count is below 0 or not finite",
        ),
        (
            lambda: math.isfinite(one.zero_threshold) and one.zero_threshold >= 0,
            "its zero threshold is below 0 or not finite",
        ),
        (lambda: _has_so_many(one), "its buckets have not as many values as its count"),
        (lambda: one.schema == CUSTOM or not len(one.bounds), "only schema -53 has custom bounds"),
        (
            lambda: one.schema != CUSTOM or not (one.zero_count or len(one.negative.indexes)),
            "schema -53 has neither negative buckets nor one around 0",
        ),
        (
            lambda: bool(np.isfinite(one.bounds).all() and np.all(np.diff(one.bounds) > 0)),
            "the bounds of the buckets do not rise",
        ),
        (
            lambda: (
                one.schema != CUSTOM
                or bool(np.all((one.positive.indexes >= 0) & (one.positive.indexes <= len(one.bounds))))
            ),
            "a bucket has no bound",
        ),
    )
    for holds, problem in problems:
        if not holds():
            raise InputError(problem)


def _has_so_many(one: NativeHistogram) -> bool:
    """Whether the buckets have all values; NaN is in no bucket, and then the sum is NaN."""
    counted = one.zero_count + float(one.positive.counts.sum()) + float(one.negative.counts.sum())
    tolerance = _ROUNDING * max(one.count, counted)
    return (
        counted <= one.count + tolerance if math.isnan(one.total) else abs(counted - one.count) <= tolerance
    )
