"""Reads Prometheus's remote_write, versions 1 and 2: a POST of snappy-compressed protobuf becomes a batch.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec/
    https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import polars as pl
import pyarrow as pa

from core.batch import Batch
from core.checks import require_name
from core.errors import InputError
from core.frames import CREATED, SAMPLES, TIMES, frame_of, stacked
from core.metric_types import is_counter
from core.service_names import ServiceRule
from pipelines.sources.protobuf import Parts, as_bytes, as_integer, read_few, read_fields, read_varint
from pipelines.sources.remote_write_columns import (
    OLDEST_CREATED_MS,
    STALE_BITS,
    Columns,
    SentHistogram,
    WriteRequest,
)
from pipelines.sources.remote_write_histograms import HistogramColumns
from pipelines.sources.remote_write_known import MAX_KNOWN, KnownLabels, KnownSeries
from pipelines.sources.remote_write_series import (
    TAIL_BYTES,
    VERSION_1,
    VERSION_2,
    LabelMessages,
    WrittenSeries,
    parts_of_request,
    read_series,
    read_tails,
)
from pipelines.sources.remote_write_v2 import NO_METADATA, TYPES, Symbols, declared_type
from pipelines.sources.stepped_series import SteppedSeries
from pipelines.stores.dead_letters import REJECTED

#: Prometheus sends at most some thousand samples at once. A larger request is an error or an attack.
MAX_BYTES = 32_000_000
#: Three bytes of snappy are at most 64 bytes uncompressed.
MAX_RATIO = 22
_NOTHING = memoryview(b"")
# Fields of the requests; each version has none of the other.
_TIMESERIES_1, _METADATA_1 = 1, 3
_SYMBOLS_2, _TIMESERIES_2 = 4, 5


class Message(StrEnum):
    """The message in a request, by the name in its Content-Type."""

    VERSION_1 = "prometheus.WriteRequest"
    VERSION_2 = "io.prometheus.write.v2.Request"


class RemoteWriteReceiver(SteppedSeries):
    """Turns the requests of one tenant's Prometheus into batches. It is thread-safe.

    Types of metrics and the last counts are in the store, so that a restart changes no rate. The receiver remembers
    only which series some labels give, because most requests have the labels of the one before.
    """

    def __init__(self, tenant: str, services: ServiceRule | None = None) -> None:
        super().__init__(MAX_KNOWN)
        self._known = KnownSeries(tenant, services or ServiceRule())

    @property
    def name(self) -> str:
        """The name of the source in dead letters."""
        return "remote_write"

    def decode(self, body: bytes, message: Message | None = Message.VERSION_1) -> WriteRequest:
        """The series, samples, histograms and metadata of one request.

        Args:
            message: null: its fields tell, because the versions have none in common.

        Raises:
            InputError: the body is not such a message, compressed with snappy.
        """
        parts = parts_of_request()
        try:
            fields = parts.counted(read_fields(memoryview(uncompressed(body))))
            messages = [(number, as_bytes(value)) for number, value in fields]
        except (IndexError, TypeError) as error:
            raise InputError(
                f"the body is not a remote_write request: no {message or 'WriteRequest'}"
            ) from error
        numbers = {number for number, _ in messages}
        if message is None:
            message = Message.VERSION_2 if _SYMBOLS_2 in numbers else Message.VERSION_1
        of_other = (
            {_SYMBOLS_2, _TIMESERIES_2} if message is Message.VERSION_1 else {_TIMESERIES_1, _METADATA_1}
        )
        if numbers & of_other:
            raise InputError(
                f"the body is not a remote_write request: no {message}, which its Content-Type names"
            )
        reading = _Reading1 if message is Message.VERSION_1 else _Reading2
        return reading(self._known, messages, parts).request()

    def batch(self, request: WriteRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request, with the ends of series in place of stale markers, and without other NaN.

        Args:
            types: metric -> type, of all that is known of the metrics of the request.
        """
        counters = {metric: is_counter(metric, types) for metric in request.metrics}
        chosen = [one.series(counter=counters[one.metric]) for one in request.series]
        series = {one.series_id: one for one in chosen}
        ids = np.repeat(np.array([one.series_id for one in chosen], dtype=np.int64), request.lengths)
        times, values = request.times_ms * 1000, request.values
        counts = np.repeat(np.array([counters[one.metric] for one in request.series], bool), request.lengths)
        missing = np.isnan(values)
        ended = missing & (values.view(np.uint64) == STALE_BITS)
        level, count = ~missing & ~counts, ~missing & counts
        histograms = HistogramColumns(request.histograms)
        series |= histograms.series
        told = count & (request.created_ms >= OLDEST_CREATED_MS) & (request.created_ms < request.times_ms)
        return Batch(
            series=tuple(series.values()),
            samples=stacked([frame_of(SAMPLES, ids[level], times[level], values[level]), histograms.levels]),
            counts=stacked([frame_of(SAMPLES, ids[count], times[count], values[count]), histograms.counts]),
            created=stacked(
                [
                    frame_of(CREATED, ids[told], times[told], request.created_ms[told] * 1000),
                    histograms.created,
                ]
            ),
            histograms=histograms.cumulative,
            ends=stacked([frame_of(TIMES, ids[ended], times[ended]), histograms.ends]),
            metric_types=request.metric_types,
            rejected=request.rejected,
        )


class _Reading1:
    """Reads one request of version 1."""

    form = VERSION_1
    timeseries = _TIMESERIES_1

    def __init__(self, known: KnownSeries, messages: Sequence[tuple[int, memoryview]], parts: Parts) -> None:
        self._messages = messages
        self._known = known
        self._parts = parts
        self._types: dict[str, str] = {}
        self._rejected: list[tuple[str, str]] = []
        self._histograms: list[SentHistogram] = []
        self._columns = Columns(len(messages))
        self._labels: LabelMessages | Symbols = LabelMessages()

    def request(self) -> WriteRequest:
        """The whole request."""
        self._take_usual()
        for at in np.flatnonzero(~self._columns.read).tolist():
            number, message = self._messages[at]
            if number == self.timeseries:
                one = read_series(message, self.form, self._labels, self._parts, self._rejected)
                if one is not None:
                    self._take(at, one)
            else:
                self._take_other(number, message)
        rejected = pl.DataFrame(self._rejected, schema=REJECTED, orient="row")
        series, lengths, times_ms, values, created_ms = self._columns.in_order()
        return WriteRequest(
            series=series,
            lengths=lengths,
            times_ms=times_ms,
            values=values,
            created_ms=created_ms,
            histograms=self._histograms,
            metric_types=self._types,
            rejected=rejected,
        )

    def _take_usual(self) -> None:
        """Read the messages that are known labels and one sample of the usual form."""
        found: list[tuple[int, KnownLabels, bytes]] = []
        for at, (number, message) in enumerate(self._messages):
            if number == _TIMESERIES_1:
                known = self._known.get(bytes(message[:-TAIL_BYTES]))
                if known is not None:
                    found.append((at, known, bytes(message[-TAIL_BYTES:])))
        self._add_usual(found)

    def _add_usual(self, found: Sequence[tuple[int, KnownLabels, bytes]]) -> list[int]:
        """Add series whose sample has the usual form; returns their positions in `found`."""
        times_ms, values, usual = read_tails([tail for _, _, tail in found])
        taken: list[int] = np.flatnonzero(usual).tolist()
        chosen = found if len(taken) == len(found) else [found[at] for at in taken]
        series = [one for _, one, _ in chosen]
        self._parts.take(sum([one.parts for one in series]))
        self._columns.add_usual([at for at, _, _ in chosen], series, times_ms[usual], values[usual])
        return taken

    def _take(self, at: int, one: WrittenSeries) -> None:
        """Take a series that was read field by field."""
        try:
            known = self._remember(at, one)
            if one.histograms:
                known.histogram_series(gauge=False)
        except InputError as error:
            self._rejected.append((json.dumps({"labels": dict(one.series.labels)}), str(error)))
            return
        if one.values:
            self._columns.add(at, known, one.times_ms, one.values, one.created_ms)
        self._histograms += [SentHistogram(known, *histogram) for histogram in one.histograms]

    def _remember(self, at: int, one: WrittenSeries) -> KnownLabels:
        key: bytes | tuple[bytes, ...] | None = one.start
        if key is None and one.histograms:
            key = tuple(bytes(as_bytes(label)) for label in one.refs)
        return self._known.remember(key, one.series, has_histograms=bool(one.histograms))

    def _take_other(self, number: int, message: memoryview) -> None:
        if number == _METADATA_1:
            self._types |= _metadata(message, self._rejected)


class _Reading2(_Reading1):
    """Reads one request of version 2."""

    form = VERSION_2
    timeseries = _TIMESERIES_2

    def __init__(self, known: KnownSeries, messages: Sequence[tuple[int, memoryview]], parts: Parts) -> None:
        super().__init__(known, messages, parts)
        self._declared_at: dict[str, int] = {}
        self._labels = self._symbols = Symbols(
            [bytes(one) for number, one in messages if number == _SYMBOLS_2]
        )

    def _take_usual(self) -> None:
        series = [(at, one) for at, (number, one) in enumerate(self._messages) if number == _TIMESERIES_2]
        usual = [(one, self._known.get(one.key)) for one in self._symbols.usual(series)]
        known = [(one, known) for one, known in usual if known is not None]
        taken = self._add_usual([(one.place, labels, one.tail) for one, labels in known])
        for place in taken:
            one, labels = known[place]
            self._declare(one.place, declared_type(labels.metric, one.metadata.kind))

    def _remember(self, at: int, one: WrittenSeries) -> KnownLabels:
        try:
            metadata = self._symbols.metadata(bytes(one.metadata)) if one.metadata else NO_METADATA
            unit = metadata.unit.decode()
        except (IndexError, TypeError, UnicodeDecodeError) as error:
            raise InputError(f"the metadata of the series cannot be read: {error}") from error
        has_histograms = bool(one.histograms)
        key = self._symbols.key(one.refs, metadata)
        known = self._known.remember(key, one.series, unit, has_histograms=has_histograms)
        self._declare(at, declared_type(known.metric, metadata.kind, has_histograms=has_histograms))
        return known

    def _declare(self, place: int, declared: tuple[str, str]) -> None:
        """Keep a type; of several for a metric the last one in the request counts."""
        metric, kind = declared
        if kind != "unknown" and self._declared_at.get(metric, -1) < place:
            self._declared_at[metric] = place
            self._types[metric] = kind

    def _take_other(self, number: int, message: memoryview) -> None:
        """Nothing else is read: symbols are, and later versions may add fields."""


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
    return {name: TYPES[kind] if kind < len(TYPES) else "unknown"} if name else {}
