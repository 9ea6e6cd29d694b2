"""The messages of OTLP metrics.

References:
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

from pipelines.sources.otlp_messages import Kind, Message, RequestForm

METRICS = RequestForm("metrics", "resourceMetrics", "scopeMetrics", "metrics")
METRIC = Message(
    (1, "name", Kind.TEXT),
    (3, "unit", Kind.TEXT),
    (5, "gauge", Kind.MESSAGE),
    (7, "sum", Kind.MESSAGE),
    (9, "histogram", Kind.MESSAGE),
    (10, "exponentialHistogram", Kind.MESSAGE),
    (11, "summary", Kind.MESSAGE),
)
#: Gauge, Sum, Histogram, ExponentialHistogram and Summary have these fields, or some of them.
DATA = Message(
    (1, "dataPoints", Kind.MESSAGES),
    (2, "aggregationTemporality", Kind.UINT32),
    (3, "isMonotonic", Kind.BOOL),
)
_TIMES = ((2, "startTimeUnixNano", Kind.FIXED64), (3, "timeUnixNano", Kind.FIXED64))
_COUNT_AND_SUM = ((4, "count", Kind.FIXED64), (5, "sum", Kind.DOUBLE))
#: In the points of both types of histograms, and in the points of the other types.
_OF_HISTOGRAMS = (*_TIMES, *_COUNT_AND_SUM, (10, "flags", Kind.UINT32))
_OF_OTHERS = (*_TIMES, (7, "attributes", Kind.MESSAGES), (8, "flags", Kind.UINT32))
NUMBER_POINT = Message(*_OF_OTHERS, (4, "asDouble", Kind.DOUBLE), (6, "asInt", Kind.SFIXED64))
SUMMARY_POINT = Message(*_OF_OTHERS, *_COUNT_AND_SUM, (6, "quantileValues", Kind.MESSAGES))
HISTOGRAM_POINT = Message(
    *_OF_HISTOGRAMS,
    (6, "bucketCounts", Kind.FIXED64S),
    (7, "explicitBounds", Kind.DOUBLES),
    (9, "attributes", Kind.MESSAGES),
    (11, "min", Kind.DOUBLE),
    (12, "max", Kind.DOUBLE),
)
EXPONENTIAL_POINT = Message(
    *_OF_HISTOGRAMS,
    (1, "attributes", Kind.MESSAGES),
    (6, "scale", Kind.SINT32),
    (7, "zeroCount", Kind.FIXED64),
    (8, "positive", Kind.MESSAGE),
    (9, "negative", Kind.MESSAGE),
    (12, "min", Kind.DOUBLE),
    (13, "max", Kind.DOUBLE),
    (14, "zeroThreshold", Kind.DOUBLE),
)
BUCKETS = Message((1, "offset", Kind.SINT32), (2, "bucketCounts", Kind.UINT64S))
QUANTILE = Message((1, "quantile", Kind.DOUBLE), (2, "value", Kind.DOUBLE))
