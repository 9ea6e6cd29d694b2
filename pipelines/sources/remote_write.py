"""Reads Prometheus's remote_write, version 1: a POST of snappy-compressed protobuf becomes a batch.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec/
    https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Lock

import numpy as np
import polars as pl
import pyarrow as pa

from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.errors import InputError
from core.frames import SAMPLES
from core.ports import Batch
from core.service_names import ServiceRule
from pipelines.sources.counters import CounterRates
from pipelines.sources.prometheus import is_counter, series_of_labels

#: Prometheus sends at most some thousand samples at once. A larger request is an error or an attack.
MAX_BYTES = 32_000_000

Value = memoryview | int

_NOTHING = memoryview(b"")
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


class RemoteWriteReceiver:
    """Turns the requests of one tenant's Prometheus into batches.

    It remembers the last count of each counter, because one request is not enough for a rate. One receiver must
    therefore get all requests of a series, and the first count after its start gives no rate. It is thread-safe.
    """

    def __init__(self, tenant: str, services: ServiceRule | None = None) -> None:
        self._tenant = tenant
        self._services = services or ServiceRule()
        self._types: dict[str, str] = {}
        self._known: dict[bytes, Series] = {}
        self._newest_us: dict[int, int] = {}
        self._counters = CounterRates()
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name of the source in dead letters."""
        return "remote_write"

    def batch(self, body: bytes) -> Batch:
        """The series and samples of one request; counters as rates, without stale markers and NaN.

        Raises:
            InputError: the body is not a snappy-compressed WriteRequest.
        """
        with self._lock:
            return self._batch(body)

    def _batch(self, body: bytes) -> Batch:
        try:
            parts = list(_fields(memoryview(_decompress(body))))
            self._learn_types(dict(_metadata(_bytes(value)) for field, value in parts if field == 3))
            found = [self._series(_bytes(value)) for field, value in parts if field == 1]
        except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
            raise InputError("the body is not a remote_write request of version 1") from error
        samples = pl.concat([pl.DataFrame(schema=SAMPLES), *(frame for _, frame in found)])
        counting = [series.series_id for series, _ in found if series.kind is SeriesKind.COUNTER]
        counted = pl.col("series_id").is_in(counting)
        samples = pl.concat([samples.filter(~counted), self._counters.rates(samples.filter(counted))])
        return Batch(series=tuple({one.series_id: one for one, _ in found}.values()), samples=samples)

    def _learn_types(self, types: Mapping[str, str]) -> None:
        """Metadata come in separate requests. New types are applied to all series that are already known."""
        if any(self._types.get(name) != kind for name, kind in types.items()):
            self._types.update(types)
            self._known.clear()

    def _series(self, message: memoryview) -> tuple[Series, pl.DataFrame]:
        """One TimeSeries: its series, with the step that its samples have, and its samples without NaN."""
        labels: list[bytes] = []
        values: list[float] = []
        times_ms: list[int] = []
        for field, value in _fields(message):
            if field == 1:
                labels.append(bytes(_bytes(value)))
            elif field == 2:
                sample = dict(_fields(_bytes(value)))
                values.append(struct.unpack("<d", _bytes(sample.get(1, memoryview(bytes(8)))))[0])
                times_ms.append(_signed(_integer(sample.get(2, 0))))
        key = b"\0".join(labels)
        if key not in self._known:
            self._known[key] = self._new_series(dict(_label(label) for label in labels))
        series = self._known[key]
        times_us = np.asarray(times_ms, dtype=np.int64) * 1000
        stepped = self._stepped(series, times_us)
        self._known[key] = stepped
        frame = pl.DataFrame(
            {
                "series_id": pl.Series(np.full(len(times_us), series.series_id), dtype=pl.Int64),
                "ts": pl.Series(times_us).cast(SAMPLES["ts"]),
                "value": pl.Series(values, dtype=pl.Float64),
            }
        )
        return stepped, frame.filter(~pl.col("value").is_nan())

    def _new_series(self, labels: Mapping[str, str]) -> Series:
        metric = labels.get("__name__", "")
        if not metric:
            raise InputError("a series in the request has no name")
        counter = is_counter(metric, self._types)
        return series_of_labels(
            self._tenant,
            metric,
            labels,
            counter=counter,
            step_s=DEFAULT_STEP_S,
            services=self._services,
        )

    def _stepped(self, series: Series, times_us: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Series:
        """The series with its step, which the first gap between two samples gives."""
        newest = self._newest_us.get(series.series_id)
        known = times_us if newest is None else np.concatenate([[newest], times_us])
        if len(known):
            self._newest_us[series.series_id] = int(known.max())
        gaps = np.diff(known)
        if series.step_s != DEFAULT_STEP_S or not (gaps > 0).any():
            return series
        return replace(series, step_s=max(1, round(float(np.median(gaps[gaps > 0])) / 1e6)))


def _decompress(body: bytes) -> bytes:
    """Decompress a block of snappy; it starts with the length of its content."""
    length, _ = _varint(memoryview(body), 0)
    if length > MAX_BYTES:
        raise InputError(f"the request has {length} bytes uncompressed; at most {MAX_BYTES} are accepted")
    try:
        return bytes(pa.Codec("snappy").decompress(body, length))
    except (OSError, ValueError) as error:
        raise InputError("the body is not compressed with snappy") from error


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an integer for a varint, else its bytes.

    Raises:
        IndexError: the message ends in the middle of a field.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if wire == _LENGTH:
            size, at = _varint(message, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise IndexError(f"version 1 has no wire type {wire}")
        if at + size > len(message):
            raise IndexError("the message ends too early")
        yield field, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at a position (seven bits in each byte), and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number has more than 64 bits")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise TypeError("the field is a number, but bytes were expected")
    return value


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError("the field has bytes, but a number was expected")
    return value


def _signed(value: int) -> int:
    """The signed number of a 64-bit two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _label(message: bytes) -> tuple[str, str]:
    fields = dict(_fields(memoryview(message)))
    name, value = (bytes(_bytes(fields.get(field, _NOTHING))).decode() for field in (1, 2))
    return name, value


def _metadata(message: memoryview) -> tuple[str, str]:
    """Name and type of a MetricMetadata."""
    fields = dict(_fields(message))
    kind = _integer(fields.get(1, 0))
    name = bytes(_bytes(fields.get(2, _NOTHING))).decode()
    return name, _TYPES[kind] if kind < len(_TYPES) else "unknown"
