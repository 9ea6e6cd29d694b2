"""Which services and moments of a large fleet the failure model learns from.

What it learns is common to all services. The numbers bound the time of a training: it grows with the moments, and took
79 core seconds for 20 services. What more failures would add was not measured. The choice is random, so that rates and
calibration are those of the fleet.
"""

from collections.abc import Mapping, Sequence

import numpy as np

#: Services are added until there are so many of them, and so many failures.
LEAST_SERVICES, ENOUGH_FAILURES = 100, 300
#: With more moments of these services, every second one is left out, or more.
MOST_MOMENTS = 300_000


def services_to_learn_from(services: Sequence[str], failures: Mapping[str, int], seed: int) -> list[str]:
    """A random part of the services with enough failures; all of them where there are not so many. Sorted.

    Args:
        failures: service -> how many of its failures are known.

    Examples:
        >>> services_to_learn_from(["b", "a"], {"a": 9}, seed=1)
        ['a', 'b']
        >>> len(services_to_learn_from([f"s{i}" for i in range(1000)], {f"s{i}": 2 for i in range(1000)}, seed=1))
        150
    """
    order = np.random.default_rng(seed).permutation(sorted(services)).tolist()
    found = np.cumsum([failures.get(service, 0) for service in order])
    enough = int(np.searchsorted(found, ENOUGH_FAILURES)) + 1
    return sorted(order[: max(LEAST_SERVICES, enough)])


def cadence_of(moments: int, cadence_s: int) -> int:
    """The seconds between moments with which at most `MOST_MOMENTS` are left: a multiple of `cadence_s`.

    Args:
        moments: how many there are with `cadence_s`.

    Examples:
        >>> cadence_of(300_000, 3_600), cadence_of(300_001, 3_600)
        (3600, 7200)
    """
    return cadence_s * max(1, -(-moments // MOST_MOMENTS))
