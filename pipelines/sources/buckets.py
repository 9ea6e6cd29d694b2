"""Quantiles of the values that a histogram counted, interpolated within its buckets.

References:
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    https://prometheus.io/docs/specs/native_histograms/#interpolation-within-a-bucket
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
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

    def reached(self, bounds: FloatArray) -> FloatArray:
        """How many values are at most each bound, float64; within a bucket values lie as `quantile` takes them to."""
        at, lower, upper = bounds[:, None], self.lower, self.upper
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            straight = (at - lower) / (upper - lower)
            share = np.where(
                self.curved & (lower * upper > 0), np.log(at / lower) / np.log(upper / lower), straight
            )
        share = np.where(np.isfinite(lower) & np.isfinite(upper), share, 0.0)
        share = np.where(at >= upper, 1.0, np.where(at <= lower, 0.0, share))
        return np.asarray(share @ np.asarray(self.counts, dtype=np.float64))

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


def bounded_buckets(bounds: FloatArray, counts: FloatArray) -> Buckets:
    """Buckets between bounds; the first and the last one are open.

    Args:
        counts: one more than bounds.
    Raises:
        InputError: bounds and counts do not fit each other.
    """
    if len(counts) != len(bounds) + 1:
        raise InputError(f"{len(bounds)} bounds need {len(bounds) + 1} counts of buckets, not {len(counts)}")
    if not (np.isfinite(bounds).all() and np.all(np.diff(bounds) > 0)):
        raise InputError("the bounds of the buckets do not rise")
    ends = np.concatenate([[-np.inf], bounds, [np.inf]])
    return Buckets(ends[:-1], ends[1:], np.asarray(counts), np.zeros(len(counts), dtype=bool))


@dataclass(frozen=True, slots=True)
class Side:
    """The exponential buckets on one side of 0, from 0 outwards.

    Attributes:
        lower, upper: their ends as absolute values.
        counts: how many values each has.
    """

    lower: FloatArray
    upper: FloatArray
    counts: FloatArray


def exponential_buckets(positive: Side, negative: Side, *, zero_count: float, around: float) -> Buckets:
    """Exponential buckets, and the one around 0.

    Args:
        around: the bucket around 0 reaches to this value on both sides; it takes the place of what overlaps it.
    """
    zero = [
        -around if negative.counts.any() else 0.0,
        around if positive.counts.any() or not negative.counts.any() else 0.0,
    ]
    ends = [
        np.maximum(one, around) for one in (negative.upper, negative.lower, positive.lower, positive.upper)
    ]
    return Buckets(
        lower=np.concatenate([-ends[0][::-1], zero[:1], ends[2]]),
        upper=np.concatenate([-ends[1][::-1], zero[1:], ends[3]]),
        counts=np.concatenate([negative.counts[::-1], [zero_count], positive.counts]),
        curved=np.array([True] * len(negative.counts) + [False] + [True] * len(positive.counts)),
    )


def exponential_ends(exponents: FloatArray | IntArray, scale: int) -> FloatArray:
    """Ends of exponential buckets: powers of 2^(2^-scale)."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp2(exponents * math.ldexp(1.0, -scale)), dtype=np.float64)


#: The bounds of classic buckets that stand for exponential ones: two in each octave, from 8 microseconds to 36 hours.
LADDER = exponential_ends(np.arange(-34, 35), 1)
