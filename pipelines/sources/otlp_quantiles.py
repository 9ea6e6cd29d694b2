"""Quantiles of the values that a histogram counted, interpolated within its buckets.

References:
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import BoolArray, FloatArray
from core.errors import InputError

#: The quantiles that are stored, and the ends of the names of their metrics.
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets in the order of their values, and how many values each has.

    Attributes:
        lower, upper: the ends; infinite where a bucket is open.
        curved: whether values lie evenly on a logarithmic scale within the bucket.
    """

    lower: FloatArray
    upper: FloatArray
    counts: FloatArray
    curved: BoolArray

    def quantile(self, share: float, least: float, most: float) -> float:
        """The value that a share of the values does not exceed; NaN when the buckets do not tell.

        Args:
            share: in (0, 1).
            least, most: the lowest and the highest value; NaN: not known.
        """
        reached = np.cumsum(self.counts)
        if not len(reached) or not reached[-1] > 0:
            return math.nan
        rank = share * reached[-1]
        at = int(np.searchsorted(reached, rank))
        lower, upper = float(self.lower[at]), float(self.upper[at])
        if math.isinf(lower):
            lower = least if not math.isnan(least) else 0.0 if upper > 0 else upper
        if math.isinf(upper):
            upper = most if not math.isnan(most) else lower
        part = (rank - (reached[at] - self.counts[at])) / self.counts[at]
        if self.curved[at] and lower * upper > 0:
            value = math.copysign(abs(lower) * (upper / lower) ** part, lower)
        else:
            value = lower + (upper - lower) * part
        if value < least:
            value = least
        return most if value > most else value


def explicit_buckets(point: Mapping[str, Any]) -> Buckets | None:
    """The buckets of a HistogramDataPoint; null: it has none.

    Raises:
        InputError: bounds and counts do not fit each other.
    """
    counts, bounds = point.get("bucketCounts", ()), point.get("explicitBounds", ())
    if len(counts) <= 1 and not len(bounds):
        return None
    if len(counts) != len(bounds) + 1:
        raise InputError(f"{len(bounds)} bounds need {len(bounds) + 1} counts of buckets, not {len(counts)}")
    if not (np.isfinite(bounds).all() and np.all(np.diff(bounds) > 0)):
        raise InputError("the bounds of the buckets do not rise")
    ends = np.concatenate([[-np.inf], bounds, [np.inf]])
    return Buckets(ends[:-1], ends[1:], np.asarray(counts), np.zeros(len(counts), dtype=bool))


def exponential_buckets(
    point: Mapping[str, Any], positive: Mapping[str, Any], negative: Mapping[str, Any]
) -> Buckets:
    """The buckets of an ExponentialHistogramDataPoint, and those around 0.

    Args:
        positive, negative: the messages Buckets of the point.
    """
    scale = point.get("scale", 0)
    above, below = _ends(positive, scale), _ends(negative, scale)
    positive_counts = np.asarray(positive.get("bucketCounts", ()), dtype=np.float64)
    negative_counts = np.asarray(negative.get("bucketCounts", ()), dtype=np.float64)
    around = point.get("zeroThreshold", 0.0)
    zero = [
        -around if negative_counts.any() else 0.0,
        around if positive_counts.any() or not negative_counts.any() else 0.0,
    ]
    return Buckets(
        lower=np.concatenate([-below[1:][::-1], zero[:1], above[:-1]]),
        upper=np.concatenate([-below[:-1][::-1], zero[1:], above[1:]]),
        counts=np.concatenate([negative_counts[::-1], [point.get("zeroCount", 0)], positive_counts]),
        curved=np.array([True] * len(negative_counts) + [False] + [True] * len(positive_counts)),
    )


def _ends(buckets: Mapping[str, Any], scale: int) -> FloatArray:
    """The ends of the buckets on one side: powers of 2^(2^-scale)."""
    count = len(buckets.get("bucketCounts", ()))
    exponents = (buckets.get("offset", 0) + np.arange(count + 1)) * math.ldexp(1.0, -scale)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp2(exponents), dtype=np.float64)
