"""Quantiles of the buckets of classic histograms, as PromQL's `histogram_quantile` computes them.

References:
    promql/quantile.go (bucketQuantile) of Prometheus 2.42:
    https://github.com/prometheus/prometheus/blob/v2.42.0/promql/quantile.go
"""

import numpy as np

from core.arrays import BoolArray, FloatArray
from models.metrics.promql import LE
from models.metrics.vector import Key, Vector


def quantile_of_buckets(quantile: float, buckets: Vector) -> Vector:
    """The quantile of each histogram.

    Args:
        quantile: in (0, 1).
        buckets: counts or rates with the label `le`; a series without a number in it is no bucket.
    """
    rows_by_key: dict[Key, list[tuple[float, int]]] = {}
    for row, key in enumerate(buckets.keys):
        bound = _bound(dict(key).get(LE, ""))
        if bound is not None:
            rest = tuple(pair for pair in key if pair[0] != LE)
            rows_by_key.setdefault(rest, []).append((bound, row))
    shape = (len(rows_by_key), buckets.values.shape[1])
    values, present = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for at, bounded in enumerate(rows_by_key.values()):
        ordered = sorted(bounded)
        rows = [row for _, row in ordered]
        bounds = np.array([bound for bound, _ in ordered])
        counts, given = buckets.values[rows], buckets.present[rows]
        present[at] = given.any(axis=0)
        # Mostly all buckets have values at all times; else each set of buckets is a histogram of its own.
        patterns, kinds = np.unique(given, axis=1, return_inverse=True)
        for kind, pattern in enumerate(patterns.T):
            times = kinds.reshape(-1) == kind
            if pattern.any():
                values[at, times] = _quantiles(quantile, bounds[pattern], counts[pattern][:, times])
    return Vector(list(rows_by_key), values, present)


def _quantiles(quantile: float, bounds: FloatArray, counts: FloatArray) -> FloatArray:
    """The quantile at each time.

    Args:
        bounds: (buckets,), sorted.
        counts: (buckets, times), cumulative.
    """
    times = counts.shape[1]
    if bounds[-1] != np.inf:
        return np.full(times, np.nan)
    bounds, counts = _coalesced(bounds, counts)
    # Scrapes of different moments can make a larger bucket smaller.
    counts = np.fmax.accumulate(counts, axis=0)
    if len(bounds) < 2:
        return np.full(times, np.nan)
    observations = counts[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = quantile * observations
        reached: BoolArray = counts[:-1] >= rank
        bucket = np.where(reached.any(axis=0), reached.argmax(axis=0), len(bounds) - 1)
        column = np.arange(times)
        before = np.maximum(bucket - 1, 0)
        start = np.where(bucket > 0, bounds[before], 0.0)
        below = np.where(bucket > 0, counts[before, column], 0.0)
        inside = start + (bounds[bucket] - start) * ((rank - below) / (counts[bucket, column] - below))
    found = np.where(bucket == len(bounds) - 1, bounds[-2], inside)
    if bounds[0] <= 0:
        found = np.where(bucket == 0, bounds[0], found)
    return np.where(observations == 0, np.nan, found)


def _coalesced(bounds: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Buckets with equal bounds, such as 1 and 1.0, are one."""
    starts = np.flatnonzero(np.append(True, bounds[1:] != bounds[:-1]))
    return bounds[starts], np.add.reduceat(counts, starts, axis=0)


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
