"""Reads Prometheus's remote_write, version 1: a POST of snappy-compressed protobuf becomes a batch.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
import pyarrow as pa

from core.batch import Batch
from core.checks import require_name
from core.domain import DEFAULT_STEP_S, Series
from core.errors import InputError
from core.frames import SAMPLES
from core.metric_types import is_counter
from core.service_names import ServiceRule
from pipelines.sources.prometheus import series_of_labels
from pipelines.sources.protobuf import (
    Value,
    as_bytes,
    as_integer,
    as_signed,
    read_few,
    read_fields,
    read_varint,
)
from pipelines.stores.dead_letters import REJECTED

#: Prometheus sends at most some thousand samples at once. A larger request is an error or an attack.
MAX_BYTES = 32_000_000
#: The years 1 to 9999: times that a calendar can show.
OLDEST_MS, NEWEST_MS = -62_135_596_800_000, 253_402_300_799_000

#: Series, labels and samples in one request. A usual request has some ten thousand.
MAX_PARTS = 300_000
#: So many series are remembered, and of those only the ones with labels of a usual size. With more series, all are
#: forgotten and read again.
MAX_KNOWN = 20_000
MAX_KNOWN_BYTES = 2_000
_TIMESERIES, _METADATA = 1, 3
#: The first bytes of the two fields of a Sample: their numbers and wire types.
_VALUE, _TIME = 1 << 3 | 1, 2 << 3
_NOTHING = memoryview(b"")
_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A decoded request.

    Attributes:
        written: labels, times and values of each series.
        metric_types: metric -> type, from the metadata of the request.
        rejected: columns `row` and `reason`, of series and samples that cannot be read.
    """

    written: Sequence["_Written"]
    metric_types: Mapping[str, str]
    rejected: pl.DataFrame

    @property
    def metrics(self) -> set[str]:
        return {one.labels["__name__"] for one in self.written}


@dataclass(frozen=True, slots=True)
class _Written:
    """Some samples of one series.

    Attributes:
        key: its labels as they were sent.
    """

    key: bytes
    labels: Mapping[str, str]
    times_ms: Sequence[int]
    values: Sequence[float]


class RemoteWriteReceiver:
    """Turns the requests of one tenant's Prometheus into batches. It is thread-safe.

    Types of metrics and the last counts are in the store, so that a restart changes no rate. The receiver remembers
    only which series some labels give, because most requests have the labels of the one before.
    """

    def __init__(self, tenant: str, services: ServiceRule | None = None) -> None:
        self._tenant = tenant
        self._services = services or ServiceRule()
        self._known: dict[tuple[bytes, bool], tuple[int, Series]] = {}

    @property
    def name(self) -> str:
        """The name of the source in dead letters."""
        return "remote_write"

    def decode(self, body: bytes) -> WriteRequest:
        """The series, samples and metadata of one request, without stale markers and NaN.

        Raises:
            InputError: the body is not a snappy-compressed WriteRequest.
        """
        written: list[_Written] = []
        types: dict[str, str] = {}
        rejected: list[tuple[str, str]] = []
        parts = _Parts()
        try:
            messages = [
                (field, as_bytes(value))
                for field, value in parts.counted(read_fields(memoryview(_decompress(body))))
            ]
        except (IndexError, TypeError) as error:
            raise InputError("the body is not a remote_write request of version 1") from error
        for field, message in messages:
            if field == _TIMESERIES:
                one = _written(message, parts, rejected)
                written += [one] if one is not None else []
            elif field == _METADATA:
                types |= _metadata(message, rejected)
        return WriteRequest(written, types, pl.DataFrame(rejected, schema=REJECTED, orient="row"))

    def batch(self, request: WriteRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request.

        Args:
            types: metric -> type, of all that is known of the metrics of the request.
        """
        series: dict[int, Series] = {}
        rejected: list[tuple[str, str]] = []
        columns: dict[bool, tuple[list[int], list[int], list[float]]] = {
            False: ([], [], []),
            True: ([], [], []),
        }
        for one in request.written:
            metric = one.labels["__name__"]
            counter = is_counter(metric, types)
            try:
                series_id, found = self._series(one, metric, counter)
            except InputError as error:
                rejected.append((json.dumps({"labels": dict(one.labels)}), str(error)))
                continue
            series[series_id] = found
            ids, times, values = columns[counter]
            ids.extend([series_id] * len(one.values))
            times.extend(one.times_ms)
            values.extend(one.values)
        more = pl.DataFrame(rejected, schema=REJECTED, orient="row")
        return Batch(
            series=tuple(series.values()),
            samples=_frame(*columns[False]),
            counts=_frame(*columns[True]),
            metric_types=request.metric_types,
            rejected=pl.concat([request.rejected, more]),
        )

    def _series(self, written: _Written, metric: str, counter: bool) -> tuple[int, Series]:
        """The series of these labels and its id."""
        known = self._known.get((written.key, counter))
        if known is None:
            series = series_of_labels(
                self._tenant,
                metric,
                written.labels,
                counter=counter,
                step_s=DEFAULT_STEP_S,
                services=self._services,
            )
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = (series.series_id, series)
            if len(written.key) <= MAX_KNOWN_BYTES:
                self._known[written.key, counter] = known
        return known


def _frame(ids: list[int], times_ms: list[int], values: list[float]) -> pl.DataFrame:
    """`SAMPLES` without NaN, which means "not measured" and marks stale series."""
    times_us = np.asarray(times_ms, dtype=np.int64) * 1000
    frame = pl.DataFrame(
        {
            "series_id": pl.Series(ids, dtype=pl.Int64),
            "ts": pl.Series(times_us).cast(SAMPLES["ts"]),
            "value": pl.Series(values, dtype=pl.Float64),
        }
    )
    return frame.filter(~pl.col("value").is_nan())


class _TooManyPartsError(InputError):
    """A request has so many parts that reading them would hold up all others."""


class _Parts:
    """Counts the parts of a request."""

    def __init__(self) -> None:
        self._left = MAX_PARTS

    def counted(self, fields: Iterator[tuple[int, Value]]) -> Iterator[tuple[int, Value]]:
        """The same fields.

        Raises:
            InputError: there are more than `MAX_PARTS` in all.
        """
        for field in fields:
            self._left -= 1
            if self._left < 0:
                raise _TooManyPartsError(
                    f"the request has more than {MAX_PARTS} series, labels and samples;"
                    " lower max_samples_per_send of the sender"
                )
            yield field


def _written(message: memoryview, parts: _Parts, rejected: list[tuple[str, str]]) -> _Written | None:
    """One TimeSeries; what of it cannot be stored is added to `rejected`."""
    raw: list[memoryview] = []
    samples: list[memoryview] = []
    histograms = 0
    try:
        for field, value in parts.counted(read_fields(message)):
            if field == 1:
                raw.append(as_bytes(value))
            elif field == 2:
                samples.append(as_bytes(value))
            elif field == 4:
                histograms += 1
        key = b"".join(struct.pack("<I", len(label)) + label for label in raw)
        labels = _known_labels(key) if len(key) <= MAX_KNOWN_BYTES else _labels(key)
    except _TooManyPartsError:
        raise
    except (IndexError, TypeError, InputError) as error:
        row = json.dumps({"labels": [bytes(label).decode(errors="backslashreplace") for label in raw]})
        rejected.append((row, f"the series cannot be read: {error}"))
        return None
    if histograms:
        rejected.append(
            (
                json.dumps({"labels": labels}),
                "native histograms are not supported; send classic buckets as well",
            )
        )
    times_ms: list[int] = []
    values: list[float] = []
    for sample in samples:
        try:
            time_ms, number = _sample(sample)
        except (IndexError, TypeError, struct.error, InputError) as error:
            rejected.append((json.dumps({"labels": labels}), f"a sample cannot be read: {error}"))
        else:
            times_ms.append(time_ms)
            values.append(number)
    return _Written(key, labels, times_ms, values) if values else None


def _sample(message: memoryview) -> tuple[int, float]:
    """Time in ms and value of a Sample."""
    if len(message) > 10 and message[0] == _VALUE and message[9] == _TIME:  # as all senders write it
        raw_time, end = read_varint(message, 10)
    else:
        raw_time, end = 0, 0
    value = message[1:9]
    if end != len(message):
        fields = read_few(message)
        raw_time, value = as_integer(fields.get(2, 0)), as_bytes(fields.get(1, memoryview(bytes(8))))
    time_ms = as_signed(raw_time)
    if not OLDEST_MS <= time_ms <= NEWEST_MS:
        raise InputError(f"the time {time_ms} ms is outside the calendar: is its unit milliseconds?")
    return time_ms, struct.unpack("<d", value)[0]


def _labels(key: bytes) -> Mapping[str, str]:
    """The labels of a series. A label without a value is the same as no label.

    Args:
        key: Label messages, each after its length in four bytes.
    Raises:
        IndexError, TypeError: a message is not a Label.
        InputError: a label is not UTF-8 or comes twice, or the series has no name.
    """
    labels: dict[str, str] = {}
    at = 0
    while at < len(key):
        start = at + 4
        at = start + struct.unpack_from("<I", key, at)[0]
        raw_name, raw_value = _label(memoryview(key)[start:at])
        try:
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError as error:
            raise InputError("a label is not UTF-8") from error
        if name in labels:
            raise InputError(f"label {name!r} comes twice")
        if value:
            labels[name] = value
    if not labels.get("__name__"):
        raise InputError("it has no name")
    return labels


_known_labels = lru_cache(maxsize=MAX_KNOWN)(_labels)


def _decompress(body: bytes) -> bytes:
    """Decompress a block of snappy; it starts with the length of its content."""
    length, _ = read_varint(memoryview(body), 0)
    if length > MAX_BYTES:
        raise InputError(f"the request has {length} bytes uncompressed; at most {MAX_BYTES} are accepted")
    try:
        return bytes(pa.Codec("snappy").decompress(body, length))
    except (OSError, ValueError) as error:
        raise InputError("the body is not compressed with snappy") from error


def _label(message: memoryview) -> tuple[bytes, bytes]:
    fields = read_few(message)
    name, value = (bytes(as_bytes(fields.get(field, _NOTHING))) for field in (1, 2))
    return name, value


def _metadata(message: memoryview, rejected: list[tuple[str, str]]) -> dict[str, str]:
    """Name and type of a MetricMetadata."""
    try:
        fields = read_few(message)
        kind = as_integer(fields.get(1, 0))
        name = bytes(as_bytes(fields.get(2, _NOTHING))).decode()
        if name:
            require_name(name, "the name of a metric")
    except (IndexError, TypeError, UnicodeDecodeError, InputError) as error:
        rejected.append(
            (json.dumps({"metadata": bytes(message).hex()}), f"the metadata cannot be read: {error}")
        )
        return {}
    return {name: _TYPES[kind] if kind < len(_TYPES) else "unknown"} if name else {}
