"""Durations counted in exponential buckets: counts of several requests and processes can be added up.

A bucket holds the durations in (BASE^(n-1), BASE^n] nanoseconds. Its middle differs from each of them by at most
`RELATIVE_ERROR`.

References:
    Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile sketch with relative-error guarantees. VLDB 2019.
"""

import math
from collections.abc import Mapping

#: Buckets for each doubling of a duration.
PER_DOUBLING = 32
BASE = 2.0 ** (1 / PER_DOUBLING)
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)


def bucket_of(duration_ns: int) -> int:
    """The bucket of a duration; one of less than a nanosecond counts as a nanosecond.

    Examples:
        >>> [bucket_of(duration_ns) for duration_ns in (0, 1, 2, 1_000_000)]
        [0, 0, 32, 638]
    """
    return math.ceil(PER_DOUBLING * math.log2(max(duration_ns, 1)))


def quantile_s(counts: Mapping[int, int], share: float) -> float:
    """The duration in seconds that a share of the durations does not exceed, with an error of `RELATIVE_ERROR`.

    Args:
        counts: bucket -> how many durations it has; not empty.
        share: in (0, 1).
    """
    rank = share * sum(counts.values())
    reached = 0
    bucket = 0
    for bucket in sorted(counts):
        reached += counts[bucket]
        if reached >= rank:
            break
    return float(2 * BASE**bucket / (BASE + 1) / 1e9)
