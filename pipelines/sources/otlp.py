"""Reads metrics of OpenTelemetry that are pushed by OTLP/HTTP: a request becomes a batch.

References:
    https://opentelemetry.io/docs/specs/otlp/
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

import zlib
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
from pipelines.sources.otlp_messages import Encoding
from pipelines.sources.otlp_metric_messages import METRICS
from pipelines.sources.otlp_points import Part, Values, parts_of_point
from pipelines.sources.otlp_prometheus import PrometheusReading, PrometheusSeries, RawRequest
from pipelines.sources.otlp_reading import Reading
from pipelines.sources.otlp_series import MAX_KNOWN, Metric, StoredSeries, Stream
from pipelines.sources.stepped_series import SteppedSeries
from pipelines.stores.dead_letters import REJECTED

#: As of remote_write: a larger request is an error or an attack.
MAX_BYTES = 32_000_000


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
        self._known = StoredSeries(tenant, services or ServiceRule())
        self._raw = PrometheusSeries(tenant, services or ServiceRule())

    def decode(self, body: bytes, encoding: Encoding) -> OtlpRequest:
        """The batch of one request.

        Raises:
            InputError: the body is not an ExportMetricsServiceRequest, or has too many parts.
        """
        reading = _Reading(self._known, encoding)
        for raw in encoding.request(body, METRICS):
            reading.resource_metrics(raw)
        return reading.request()

    def decode_raw(self, body: bytes, encoding: Encoding) -> RawRequest:
        """The raw samples that a Prometheus would have of one request; errors as for `decode`."""
        reading = PrometheusReading(self._raw, encoding)
        for raw in encoding.request(body, METRICS):
            reading.resource_metrics(raw)
        return reading.request()

    def batch(self, request: OtlpRequest, types: Mapping[str, str]) -> Batch:
        """The batch of a request; declared types change nothing."""
        return request.content


class _Reading(Reading[Series]):
    """Reads a request into a batch."""

    def begin(self, metric: Metric) -> None:
        """Every metric can be stored."""

    def parts_of(self, metric: Metric, fields: Mapping[str, Any]) -> Sequence[Part]:
        return parts_of_point(self._encoding, metric.kind, metric.values, fields)

    def request(self) -> OtlpRequest:
        """What was collected."""
        found = self.collected()
        streams, values, deltas = found.streams, found.values, found.deltas
        series, good = self._series_of(streams)
        ids = np.array([one.series.series_id for one in streams], dtype=np.int64)
        counts = np.array([one.values is Values.COUNT for one in streams], dtype=bool)
        values[deltas] /= (found.time_ns - found.start_ns)[deltas] / 1e9
        samples = _frame(ids, (found.time_ns // 1_000).astype(np.int64), values)
        measured = good & ~np.isnan(values)
        content = Batch(
            series=tuple(series.values()),
            samples=samples.filter(pl.Series(measured & ~counts)),
            counts=samples.filter(pl.Series(measured & counts)),
            rejected=pl.DataFrame(self.rejected, schema=REJECTED, orient="row"),
        )
        return OtlpRequest(content, self.points, self.rejected_points)

    def _series_of(self, streams: Sequence[Stream[Series]]) -> tuple[dict[int, Series], BoolArray]:
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
                self.reject({"series": own.name}, "the series is a counter and a gauge in the same request")
        return series, good


def _frame(ids: IntArray, times_us: IntArray, values: FloatArray) -> pl.DataFrame:
    columns = {"series_id": ids, "ts": times_us, "value": values}
    return pl.DataFrame({name: pl.Series(column).cast(SAMPLES[name]) for name, column in columns.items()})
