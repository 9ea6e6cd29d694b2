"""Reads metrics of OpenTelemetry that are pushed by OTLP/HTTP: a request becomes a batch.

References:
    https://opentelemetry.io/docs/specs/otlp/
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray, IntArray
from core.batch import Batch
from core.domain import Series, SeriesKind
from core.errors import InputError
from core.frames import SAMPLES
from core.service_names import ServiceRule
from pipelines.sources.otlp_messages import MALFORMED, SCOPE, Encoding, Protobuf
from pipelines.sources.otlp_metric_messages import DATA, METRIC, METRICS
from pipelines.sources.otlp_points import (
    HEAD_BYTES,
    POINTS,
    UnsignedArray,
    Values,
    has_only_attributes,
    parted,
    parts_of_point,
    read_heads,
    values_of,
)
from pipelines.sources.otlp_series import MAX_KNOWN, KnownMetric, KnownSeries, Metric, Stream
from pipelines.sources.otlp_units import unit_of
from pipelines.sources.protobuf import Parts, TooManyPartsError
from pipelines.sources.stepped_series import SteppedSeries
from pipelines.stores.dead_letters import REJECTED

#: As of remote_write: a larger request is an error or an attack.
MAX_BYTES = 32_000_000
#: Metrics, points and attributes in one request.
MAX_PARTS = 300_000
#: A dead letter shows so many characters of a part.
_SHOWN_CHARS = 2_000


def decompressed(body: bytes) -> bytes:
    """The content of a body that is compressed with gzip.

    Raises:
        InputError: it is not, or its content is larger than `MAX_BYTES`.
    """
    content = b""
    while True:
        stream = zlib.decompressobj(wbits=31)
        try:
            content += stream.decompress(body, MAX_BYTES + 1 - len(content))
        except zlib.error as error:
            raise InputError("the body is not compressed with gzip") from error
        if len(content) > MAX_BYTES:
            raise InputError(f"the request has more than {MAX_BYTES} bytes uncompressed; send it in parts")
        if not stream.eof:
            raise InputError("the body is not compressed with gzip: it ends too early")
        if not stream.unused_data:
            return content
        body = stream.unused_data


@dataclass(frozen=True, slots=True)
class OtlpRequest:
    """A decoded request.

    Attributes:
        content: its batch. OTLP tells the type of each point, so no declared types are needed.
        points: how many data points it has.
        rejected: how many of them are rejected in `content`.
    """

    content: Batch
    points: int
    rejected: int
    metric_types: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[str] = ()


class OtlpReceiver(SteppedSeries):
    """Turns the requests of one tenant into batches. It is thread-safe.

    It remembers only which series some attributes give, because most requests have the attributes of the one before.
    """

    name = "otlp"

    def __init__(self, tenant: str, services: ServiceRule | None = None) -> None:
        super().__init__(MAX_KNOWN)
        self._known = KnownSeries(tenant, services or ServiceRule())

    def decode(self, body: bytes, encoding: Encoding) -> OtlpRequest:
        """The batch of one request.

        Raises:
            InputError: the body is not an ExportMetricsServiceRequest, or has too many parts.
        """
        reading = _Reading(self._known, encoding)
        for raw in encoding.request(body, METRICS):
            reading.resource_metrics(raw)
        return reading.request()

    def batch(self, request: OtlpRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request; declared types change nothing."""
        return request.content


class _Reading:
    """Collects what one request has."""

    def __init__(self, known: KnownSeries, encoding: Encoding) -> None:
        self._known = known
        self._encoding = encoding
        self._parts = Parts(MAX_PARTS, "metrics, data points and attributes; send smaller batches")
        self._rejected: list[tuple[str, str]] = []
        self._points = self._rejected_points = 0
        # what was read one by one
        self._streams: list[Stream] = []
        self._starts: list[int] = []
        self._times: list[int] = []
        self._values: list[float] = []
        # number points whose attributes are known
        self._usual: list[tuple[KnownMetric, Stream, memoryview]] = []
        self._heads: list[bytes] = []

    def resource_metrics(self, raw: Any) -> None:
        encoding = self._encoding
        try:
            self._parts.take(1)
            fields = encoding.read(raw, METRICS.resource)
            resource = fields.get("resource")
            key = b"" if resource is None else encoding.key([resource])
            scopes = fields.get(METRICS.scopes, [])
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self._reject(
                {"resource_metrics": self._shown(raw)}, f"the metrics of a resource cannot be read: {error}"
            )
            return
        metrics: list[tuple[str, Any, dict[str, Any]]] = []
        scopes_of_name: dict[str, set[str]] = defaultdict(set)
        for scope in scopes:
            for name, metric, found in self._metrics_of(scope):
                metrics.append((name, metric, found))
                scopes_of_name[found.get("name", "")].add(name)
        for scope_name, metric, found in metrics:
            several = len(scopes_of_name[found.get("name", "")]) > 1
            self._metric(metric, found, (resource, key), scope_name if several else "")

    def request(self) -> OtlpRequest:
        """What was collected."""
        start_ns, time_ns, values = self._read_usual()
        streams = [stream for _, stream, _ in self._usual] + self._streams
        start_ns = np.concatenate([start_ns, np.array(self._starts, dtype=np.uint64)])
        time_ns = np.concatenate([time_ns, np.array(self._times, dtype=np.uint64)])
        values = np.concatenate([values, np.array(self._values, dtype=np.float64)])
        series, good = self._series_of(streams)
        ids = np.array([one.series.series_id for one in streams], dtype=np.int64)
        deltas = np.array([one.values is Values.DELTA for one in streams], dtype=bool)
        counts = np.array([one.values is Values.COUNT for one in streams], dtype=bool)
        values[deltas] /= (time_ns - start_ns)[deltas] / 1e9
        samples = _frame(ids, (time_ns // 1_000).astype(np.int64), values)
        measured = good & ~np.isnan(values)
        content = Batch(
            series=tuple(series.values()),
            samples=samples.filter(pl.Series(measured & ~counts)),
            counts=samples.filter(pl.Series(measured & counts)),
            rejected=pl.DataFrame(self._rejected, schema=REJECTED, orient="row"),
        )
        return OtlpRequest(content, self._points, self._rejected_points)

    def _metrics_of(self, raw: Any) -> list[tuple[str, Any, dict[str, Any]]]:
        """Name of the scope, metric as it came, and its fields."""
        encoding = self._encoding
        try:
            fields = encoding.read(raw, METRICS.scope)
            name = encoding.read(fields["scope"], SCOPE).get("name", "") if "scope" in fields else ""
            metrics = fields.get(METRICS.items, [])
            self._parts.take(len(metrics))
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self._reject(
                {"scope_metrics": self._shown(raw)}, f"the metrics of a scope cannot be read: {error}"
            )
            return []
        found = []
        for metric in metrics:
            try:
                found.append((name, metric, encoding.read(metric, METRIC)))
            except MALFORMED as error:
                self._reject({"metric": self._shown(metric)}, f"the metric cannot be read: {error}")
        return found

    def _metric(
        self, raw: Any, fields: Mapping[str, Any], resource: tuple[Any, str | bytes], scope: str
    ) -> None:
        name = fields.get("name", "")
        kind = next((kind for kind in POINTS if kind in fields), None)
        points: Sequence[Any] = ()
        try:
            data = self._encoding.read(fields[kind], DATA) if kind else {}
            points = data.get("dataPoints", ())
            self._points += len(points)
            self._parts.take(len(points))
            if not name:
                raise InputError("it has no name")
            if kind is None:
                raise InputError("it has no data of a known type")
            temporality = data.get("aggregationTemporality", 0)
            values = values_of(kind, temporality, monotonic=data.get("isMonotonic", False))
            metric = Metric(name, unit_of(fields.get("unit", "")), kind, values, scope)
            known = self._known.metric(metric, self._encoding, *resource)
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            row = {"metric": name} if name else {"metric": self._shown(raw)}
            self._reject(row, f"the metric cannot be stored: {error}", len(points))
            return
        if known.rests and isinstance(self._encoding, Protobuf):
            points = self._take_usual(known, points)
        for point in points:
            self._point(known, point)

    def _take_usual(self, known: KnownMetric, points: Sequence[memoryview]) -> list[memoryview]:
        """Collect the number points whose attributes are known; returns the others."""
        others = []
        rests = known.rests
        for point in points:
            head, rest = parted(point)
            stream = rests.get(rest)
            if stream is None or len(head) != HEAD_BYTES:
                others.append(point)
            else:
                self._heads.append(head)
                self._usual.append((known, stream, point))
        return others

    def _read_usual(self) -> tuple[UnsignedArray, UnsignedArray, FloatArray]:
        """Starts, times and values of the usual points; those that are not usual are read one by one."""
        starts, times, values, usual = read_heads(self._heads)
        deltas = np.array([one.values is Values.DELTA for _, one, _ in self._usual], dtype=bool)
        usual &= ~deltas | ((starts > 0) & (starts < times))
        if usual.all():
            return starts, times, values
        for place in np.flatnonzero(~usual).tolist():
            known, _, point = self._usual[place]
            self._point(known, point)
        self._usual = [self._usual[place] for place in np.flatnonzero(usual).tolist()]
        return starts[usual], times[usual], values[usual]

    def _point(self, known: KnownMetric, raw: Any) -> None:
        """Read one point."""
        encoding, metric = self._encoding, known.metric
        try:
            fields = encoding.read(raw, POINTS[metric.kind])
            attributes = fields.get("attributes", [])
            self._parts.take(len(attributes))
            entity = self._known.entity(known, encoding, attributes)
            parts = parts_of_point(encoding, metric.kind, metric.values, fields)
            streams = [self._known.stream(metric, entity, ending, values) for ending, values, _ in parts]
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            row = {"metric": metric.name, "point": self._shown(raw)}
            self._reject(row, f"the data point cannot be stored: {error}")
            return
        self._streams += streams
        self._starts += [fields.get("startTimeUnixNano", 0)] * len(parts)
        self._times += [fields.get("timeUnixNano", 0)] * len(parts)
        self._values += [value for _, _, value in parts]
        if parts and isinstance(encoding, Protobuf) and POINTS[metric.kind] is POINTS["gauge"]:
            head, rest = parted(raw)
            if len(head) == HEAD_BYTES and has_only_attributes(rest):
                known.rests[rest] = streams[0]

    def _series_of(self, streams: Sequence[Stream]) -> tuple[dict[int, Series], BoolArray]:
        """The series of the streams by id, and which streams are no counter where an earlier one is, or the reverse."""
        series: dict[int, Series] = {}
        good = np.ones(len(streams), dtype=bool)
        for place, stream in enumerate(streams):
            own = stream.series
            first = series.setdefault(own.series_id, own)
            if first is not own and (first.kind is SeriesKind.COUNTER) is not (
                own.kind is SeriesKind.COUNTER
            ):
                good[place] = False
                self._reject({"series": own.name}, "the series is a counter and a gauge in the same request")
        return series, good

    def _reject(self, row: Mapping[str, object], reason: str, points: int = 1) -> None:
        self._rejected.append((json.dumps(row), reason))
        self._rejected_points += points

    def _shown(self, raw: Any) -> str:
        return self._encoding.text(raw)[:_SHOWN_CHARS]


def _frame(ids: IntArray, times_us: IntArray, values: FloatArray) -> pl.DataFrame:
    columns = {"series_id": ids, "ts": times_us, "value": values}
    return pl.DataFrame({name: pl.Series(column).cast(SAMPLES[name]) for name, column in columns.items()})
