"""The priority lanes of the intake, and what is counted in them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

#: Upper bounds of the latency buckets, in seconds; a request takes at most 30 s.
LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class PriorityLane(StrEnum):
    """How urgent an input is; a flood in one lane does not delay another. The most urgent lane comes first."""

    ALERTS = "alerts"
    WARNINGS = "warnings"
    METRICS = "metrics"
    BACKGROUND = "background"

    @property
    def priority(self) -> str:
        """P0 to P3."""
        return f"P{list(PriorityLane).index(self)}"


class IntakeKind(StrEnum):
    """What a count is about; `name` tells more.

    ITEMS: samples, spans, lines, events or incidents by outcome (`new`, `duplicate`, `rejected`).
    ERRORS: requests by the reason of their error.
    LATENCY: finished requests by the upper bound of their latency bucket in seconds.
    MOST: the most requests at once (`depth`), and the most milliseconds that one waited so far (`age_ms`).
    """

    ITEMS = "items"
    ERRORS = "errors"
    LATENCY = "latency"
    MOST = "most"


@dataclass(frozen=True, slots=True)
class IntakeCount:
    """One count of one source; counts of the same name add up, except those of the kind MOST."""

    lane: str
    source: str
    kind: IntakeKind
    name: str
    count: int


class IntakeRepository(Protocol):
    def add(self, at: datetime, counts: Sequence[IntakeCount]) -> None:
        """Add counts to those of the five minutes that contain `at`."""
        ...

    def since(self, start: datetime) -> list[IntakeCount]:
        """The counts of all five minutes that end after `start`, together."""
        ...


def bucket_of(seconds: float) -> float:
    """The upper bound of the latency bucket; infinite beyond the last one."""
    return next((bound for bound in LATENCY_BOUNDS_S if seconds <= bound), math.inf)


def latency_quantile(buckets: Mapping[float, int], share: float) -> float:
    """The upper bound of the bucket that contains a quantile.

    Args:
        buckets: upper bound in seconds -> requests, at least one in all.
        share: 0.95 for p95.
    """
    needed = share * sum(buckets.values())
    seen = 0
    for bound in sorted(buckets):
        seen += buckets[bound]
        if seen >= needed:
            return bound
    return math.inf
