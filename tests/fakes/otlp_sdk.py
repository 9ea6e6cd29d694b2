"""What the OpenTelemetry SDK measures, as the requests that its exporter sends.

The exporter itself is no dependency of ours. The fields of the SDK have the names of the fields of the messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fakes.otlp import attributes
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.metrics import export

_FIELDS: Mapping[type, str] = {
    export.Gauge: "gauge",
    export.Sum: "sum",
    export.Histogram: "histogram",
    export.ExponentialHistogram: "exponential_histogram",
}


def request_of(data: export.MetricsData) -> ExportMetricsServiceRequest:
    """The request that exports these metrics."""
    return ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=Resource(attributes=attributes(_plain(part.resource.attributes))),
                scope_metrics=[
                    ScopeMetrics(
                        scope=InstrumentationScope(name=scope.scope.name),
                        metrics=[_metric(one) for one in scope.metrics],
                    )
                    for scope in part.scope_metrics
                ],
            )
            for part in data.resource_metrics
        ]
    )


def _metric(metric: export.Metric) -> Metric:
    data = asdict(metric.data)
    points: Sequence[dict[str, Any]] = data.pop("data_points")
    if "aggregation_temporality" in data:
        data["aggregation_temporality"] = int(data["aggregation_temporality"])
    field = _FIELDS[type(metric.data)]
    found = Metric(name=metric.name, unit=metric.unit or "")
    ParseDict(data, getattr(found, field))
    getattr(found, field).SetInParent()
    for point in points:
        given, value = point.pop("attributes"), point.pop("value", None)
        point.pop("exemplars")
        message = ParseDict(point, getattr(found, field).data_points.add())
        message.attributes.extend(attributes(_plain(given)))
        if value is not None:
            setattr(message, "as_int" if isinstance(value, int) else "as_double", value)
    return found


def _plain(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return dict(given or {})
