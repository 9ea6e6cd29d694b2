"""Requests of OTLP metrics, built from the messages of opentelemetry-proto."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fakes.remote_write import T0
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
#: The resource of a service, as an SDK describes it.
SHOP: Mapping[str, str | int | bool | float] = {
    "service.name": "shop",
    "telemetry.sdk.language": "python",
    "process.pid": 7,
    "host.name": "web1",
}

Attributes = Mapping[str, str | int | bool | float]
Data = TypeVar("Data", Sum, Histogram, ExponentialHistogram)


def ns(at_s: float) -> int:
    """A time, `at_s` seconds after `T0`."""
    return round((T0.timestamp() + at_s) * 1000) * 1_000_000


def attributes(given: Attributes) -> list[KeyValue]:
    return [KeyValue(key=name, value=any_value(value)) for name, value in given.items()]


def any_value(value: str | int | bool | float) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)


def number(
    value: float,
    at_s: float,
    labels: Attributes | None = None,
    *,
    start_s: float | None = None,
    flags: int = 0,
) -> NumberDataPoint:
    """A point of a gauge or a sum; whole numbers are `as_int`."""
    point = NumberDataPoint(attributes=attributes(labels or {}), time_unix_nano=ns(at_s), flags=flags)
    if start_s is not None:
        point.start_time_unix_nano = ns(start_s)
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def gauge(name: str, *points: NumberDataPoint, unit: str = "") -> Metric:
    return Metric(name=name, unit=unit, gauge=Gauge(data_points=points))


def total(
    name: str, *points: NumberDataPoint, unit: str = "", temporality: int = CUMULATIVE, monotonic: bool = True
) -> Metric:
    """A Sum."""
    data = Sum(is_monotonic=monotonic, data_points=points)
    return Metric(name=name, unit=unit, sum=_with(temporality, data))


def histogram(
    name: str, *points: HistogramDataPoint, unit: str = "s", temporality: int = CUMULATIVE
) -> Metric:
    return Metric(name=name, unit=unit, histogram=_with(temporality, Histogram(data_points=points)))


def exponential(
    name: str, *points: ExponentialHistogramDataPoint, unit: str = "s", temporality: int = CUMULATIVE
) -> Metric:
    data = ExponentialHistogram(data_points=points)
    return Metric(name=name, unit=unit, exponential_histogram=_with(temporality, data))


def _with(temporality: int, data: Data) -> Data:
    data.aggregation_temporality = temporality  # type: ignore[assignment]
    return data


def summary(name: str, *points: SummaryDataPoint, unit: str = "s") -> Metric:
    return Metric(name=name, unit=unit, summary=Summary(data_points=points))


def latency(start_s: float | None = 0, **more: Any) -> HistogramDataPoint:
    """100 requests: 50 below 0.1 s, 40 below 0.5 s, 10 below 1 s."""
    given: dict[str, Any] = {
        "count": 100,
        "sum": 20.0,
        "bucket_counts": [50, 40, 10, 0],
        "explicit_bounds": [0.1, 0.5, 1.0],
        "time_unix_nano": ns(60),
        **more,
    }
    return HistogramDataPoint(start_time_unix_nano=0 if start_s is None else ns(start_s), **given)


def resource_metrics(
    *metrics: Metric, resource: Attributes | None = None, scope: str = "test"
) -> ResourceMetrics:
    return ResourceMetrics(
        resource=Resource(attributes=attributes(SHOP if resource is None else resource)),
        scope_metrics=[ScopeMetrics(scope=InstrumentationScope(name=scope), metrics=metrics)],
    )


def request(*parts: ResourceMetrics | Metric) -> ExportMetricsServiceRequest:
    """A request; metrics belong to the resource `SHOP`."""
    whole: Sequence[ResourceMetrics] = [
        one if isinstance(one, ResourceMetrics) else resource_metrics(one) for one in parts
    ]
    return ExportMetricsServiceRequest(resource_metrics=whole)


def as_json(message: ExportMetricsServiceRequest) -> bytes:
    """The request in OTLP's JSON, where enumerations are numbers."""
    return json.dumps(MessageToDict(message, use_integers_for_enums=True)).encode()
