"""The buckets of the histograms of OTLP.

References:
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.sources import buckets
from pipelines.sources.buckets import Buckets, Side, bounded_buckets


def explicit_buckets(point: Mapping[str, Any]) -> Buckets | None:
    """The buckets of a HistogramDataPoint; null: it has none.

    Raises:
        InputError: bounds and counts do not fit each other.
    """
    counts, bounds = point.get("bucketCounts", ()), point.get("explicitBounds", ())
    if len(counts) <= 1 and not len(bounds):
        return None
    return bounded_buckets(np.asarray(bounds), np.asarray(counts))


def exponential_buckets(
    point: Mapping[str, Any], positive: Mapping[str, Any], negative: Mapping[str, Any]
) -> Buckets:
    """The buckets of an ExponentialHistogramDataPoint, and those around 0.

    Args:
        positive, negative: the messages Buckets of the point.
    """
    scale = point.get("scale", 0)
    return buckets.exponential_buckets(
        _side(positive, scale),
        _side(negative, scale),
        zero_count=point.get("zeroCount", 0),
        around=point.get("zeroThreshold", 0.0),
    )


def _side(message: Mapping[str, Any], scale: int) -> Side:
    counts = np.asarray(message.get("bucketCounts", ()), dtype=np.float64)
    ends = buckets.exponential_ends(message.get("offset", 0) + np.arange(len(counts) + 1), scale)
    return Side(ends[:-1], ends[1:], counts)
