"""Reads Prometheus's remote_write, version 1: a POST of snappy-compressed protobuf becomes a batch.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from core.arrays import FloatArray, IntArray
from core.batch import Batch
from core.checks import require_name
from core.domain import DEFAULT_STEP_S, Series
from core.errors import InputError
from core.frames import SAMPLES
from core.metric_types import is_counter
from core.service_names import ServiceRule
from pipelines.sources.protobuf import Parts, as_bytes, as_integer, read_few, read_fields, read_varint
from pipelines.sources.raw_series import series_of_labels
from pipelines.sources.remote_write_series import (
    TAIL_BYTES,
    LabelledSeries,
    WrittenSeries,
    parts_of_request,
    read_series,
    read_tails,
)
from pipelines.sources.stepped_series import SteppedSeries
from pipelines.stores.dead_letters import REJECTED

#: Prometheus sends at most some thousand samples at once. A larger request is an error or an attack.
MAX_BYTES = 32_000_000
#: Three bytes of snappy are at most 64 bytes uncompressed.
MAX_RATIO = 22
#: So many series are remembered, with so many bytes of labels in all. With more, all are forgotten and read again.
MAX_KNOWN = 20_000
MAX_KNOWN_BYTES = 8_000_000
_TIMESERIES, _METADATA = 1, 3
_NOTHING = memoryview(b"")
_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A decoded request, as columns: many requests have thousands of series with one sample each.

    Attributes:
        series: in the order of the request; a series may come more than once.
        lengths: how many samples each of them has.
        times_ms, values: of all samples, series after series; a value may be NaN.
        metric_types: metric -> type, from the metadata of the request.
        rejected: columns `row` and `reason`, of series and samples that cannot be read.
    """

    series: Sequence["_Remembered"]
    lengths: IntArray
    times_ms: IntArray
    values: FloatArray
    metric_types: Mapping[str, str]
    rejected: pl.DataFrame

    @property
    def metrics(self) -> set[str]:
        return {one.metric for one in self.series}


class _Remembered:
    """Labels as they were sent, and the series that they give.

    Attributes:
        parts: of the request, with one sample.
        as_counter, as_gauge: null until it was needed.
    """

    __slots__ = ("as_counter", "as_gauge", "labels", "metric", "parts")

    def __init__(self, labelled: LabelledSeries) -> None:
        self.metric = labelled.metric
        self.labels = labelled.labels
        self.parts = labelled.parts + 1
        self.as_counter: Series | None = None
        self.as_gauge: Series | None = None


class RemoteWriteReceiver(SteppedSeries):
    """Turns the requests of one tenant's Prometheus into batches. It is thread-safe.

    Types of metrics and the last counts are in the store, so that a restart changes no rate. The receiver remembers
    only which series some labels give, because most requests have the labels of the one before.
    """

    def __init__(self, tenant: str, services: ServiceRule | None = None) -> None:
        super().__init__(MAX_KNOWN)
        self._tenant = tenant
        self._services = services or ServiceRule()
        self._known: dict[bytes, _Remembered] = {}
        self._known_bytes = 0

    @property
    def name(self) -> str:
        """The name of the source in dead letters."""
        return "remote_write"

    def decode(self, body: bytes) -> WriteRequest:
        """The series, samples and metadata of one request.

        Raises:
            InputError: the body is not a snappy-compressed WriteRequest.
        """
        types: dict[str, str] = {}
        rejected: list[tuple[str, str]] = []
        parts = parts_of_request()
        try:
            messages = [
                (field, as_bytes(value))
                for field, value in parts.counted(read_fields(memoryview(uncompressed(body))))
            ]
        except (IndexError, TypeError) as error:
            raise InputError("the body is not a remote_write request of version 1") from error
        columns = self._usual(messages, parts)
        for at in np.flatnonzero(~columns.read).tolist():
            field, message = messages[at]
            if field == _TIMESERIES:
                one = read_series(message, parts, rejected)
                if one is not None:
                    columns.add([at], [self._remember(one)], [len(one.values)], one.times_ms, one.values)
            elif field == _METADATA:
                types |= _metadata(message, rejected)
        frame = pl.DataFrame(rejected, schema=REJECTED, orient="row")
        return WriteRequest(*columns.in_order(), types, frame)

    def batch(self, request: WriteRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request, without stale markers and NaN.

        Args:
            types: metric -> type, of all that is known of the metrics of the request.
        """
        series: dict[int, Series] = {}
        rejected: list[tuple[str, str]] = []
        counters = {metric: is_counter(metric, types) for metric in request.metrics}
        ids = [0] * len(request.series)
        of_counters, good = [False] * len(ids), [True] * len(ids)
        for position, one in enumerate(request.series):
            counter = counters[one.metric]
            found = one.as_counter if counter else one.as_gauge
            if found is None:
                try:
                    found = self._series(one, counter)
                except InputError as error:
                    rejected.append((json.dumps({"labels": dict(one.labels)}), str(error)))
                    good[position] = False
                    continue
            ids[position] = series_id = found.series_id
            of_counters[position] = counter
            series[series_id] = found
        more = pl.DataFrame(rejected, schema=REJECTED, orient="row")
        measured = np.repeat(np.array(good, dtype=bool), request.lengths) & ~np.isnan(request.values)
        counts = np.repeat(np.array(of_counters, dtype=bool), request.lengths)
        samples = _frame(
            np.repeat(np.array(ids, dtype=np.int64), request.lengths), request.times_ms, request.values
        )
        return Batch(
            series=tuple(series.values()),
            samples=samples.filter(pl.Series(measured & ~counts)),
            counts=samples.filter(pl.Series(measured & counts)),
            metric_types=request.metric_types,
            rejected=pl.concat([request.rejected, more]),
        )

    def _usual(self, messages: Sequence[tuple[int, memoryview]], parts: Parts) -> "_Columns":
        """Read the messages that are known labels and one sample of the usual form."""
        places: list[int] = []
        series: list[_Remembered] = []
        tails: list[bytes] = []
        for at, (field, message) in enumerate(messages):
            if field == _TIMESERIES:
                known = self._known.get(bytes(message[:-TAIL_BYTES]))
                if known is not None:
                    places.append(at)
                    series.append(known)
                    tails.append(bytes(message[-TAIL_BYTES:]))
        columns = _Columns(len(messages))
        times_ms, values, usual = read_tails(tails)
        if not usual.all():
            places = [at for at, is_usual in zip(places, usual, strict=True) if is_usual]
            series = [one for one, is_usual in zip(series, usual, strict=True) if is_usual]
        parts.take(sum([one.parts for one in series]))
        columns.add(places, series, [1] * len(series), times_ms[usual], values[usual])
        return columns

    def _remember(self, written: WrittenSeries) -> _Remembered:
        start = written.start
        if start is None:
            return _Remembered(written.series)
        known = self._known.get(start)
        if known is None:
            if len(self._known) >= MAX_KNOWN or self._known_bytes + len(start) > MAX_KNOWN_BYTES:
                self._known.clear()
                self._known_bytes = 0
            known = self._known[start] = _Remembered(written.series)
            self._known_bytes += len(start)
        return known

    def _series(self, one: _Remembered, counter: bool) -> Series:
        found = series_of_labels(
            self._tenant,
            one.metric,
            one.labels,
            counter=counter,
            step_s=DEFAULT_STEP_S,
            services=self._services,
        )
        if counter:
            one.as_counter = found
        else:
            one.as_gauge = found
        return found


class _Columns:
    """Series and their samples, which may come in any order of their places in the request."""

    def __init__(self, count: int) -> None:
        #: Which messages of the request are read already.
        self.read = np.zeros(count, dtype=bool)
        self._places: list[int] = []
        self._series: list[_Remembered] = []
        self._lengths: list[int] = []
        self._times_ms: list[IntArray] = []
        self._values: list[FloatArray] = []

    def add(
        self,
        places: Sequence[int],
        series: Sequence[_Remembered],
        lengths: Sequence[int],
        times_ms: IntArray | Sequence[int],
        values: FloatArray | Sequence[float],
    ) -> None:
        """Add series with all their samples."""
        self.read[places] = True
        self._places += places
        self._series += series
        self._lengths += lengths
        self._times_ms.append(np.asarray(times_ms, dtype=np.int64))
        self._values.append(np.asarray(values, dtype=np.float64))

    def in_order(self) -> tuple[Sequence[_Remembered], IntArray, IntArray, FloatArray]:
        """Series, lengths, times in ms and values, in the order of the request."""
        places, lengths = np.array(self._places, dtype=np.int64), np.array(self._lengths, dtype=np.int64)
        times_ms, values = np.concatenate(self._times_ms), np.concatenate(self._values)
        if bool(np.all(places[1:] > places[:-1])):
            return self._series, lengths, times_ms, values
        order, samples = np.argsort(places), np.argsort(places.repeat(lengths), kind="stable")
        return [self._series[at] for at in order.tolist()], lengths[order], times_ms[samples], values[samples]


def _frame(ids: IntArray, times_ms: IntArray, values: FloatArray) -> pl.DataFrame:
    columns = {"series_id": ids, "ts": times_ms * 1000, "value": values}
    return pl.DataFrame({name: pl.Series(column).cast(SAMPLES[name]) for name, column in columns.items()})


def uncompressed(body: bytes) -> bytes:
    """Decompress a block of snappy; it starts with the length of its content."""
    length, _ = read_varint(memoryview(body), 0)
    if length > MAX_BYTES:
        raise InputError(f"the request has {length} bytes uncompressed; at most {MAX_BYTES} are accepted")
    if length > MAX_RATIO * len(body):
        raise InputError("the body is not compressed with snappy: it declares more bytes than it can hold")
    try:
        return bytes(pa.Codec("snappy").decompress(body, length))
    except (OSError, ValueError) as error:
        raise InputError("the body is not compressed with snappy") from error


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
