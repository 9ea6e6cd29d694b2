"""The ports of what is stored of traces, until their steps are complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.domain import ServiceEdges


@dataclass(frozen=True, slots=True)
class SpanMark:
    """What tells a span apart, for a while.

    Attributes:
        span, parent: keys; `parent` is null for the root of a trace.
        is_entry: whether the span begins the work of its service. Where client and server share a span, both are kept.
    """

    span: int
    is_entry: bool
    parent: int | None
    service: str


@dataclass(frozen=True, slots=True)
class SpanCount:
    """How many requests to an operation ended in a step with a duration in a bucket, and how many of them failed.

    Attributes:
        at: the start of the step.
    """

    at: datetime
    service: str
    operation: str
    bucket: int
    requests: int
    errors: int


class SpanRepository(Protocol):
    """Counts of spans whose step is not complete yet, and the spans of the last minutes."""

    def hold(self, *, change: bool = False) -> None:
        """Keep the end of the complete steps as it is until the end of the transaction; `change`: change it."""
        ...

    def remember(self, marks: Sequence[SpanMark], now: datetime) -> set[tuple[int, bool]]:
        """Those spans that are new: `span` and `is_entry`."""
        ...

    def operations(self, services: Sequence[str], since: datetime) -> dict[str, set[str]]:
        """Service -> its operations that were seen since that time."""
        ...

    def see_operations(self, operations: Sequence[tuple[str, str]], now: datetime) -> None:
        """Services and operations that were seen now."""
        ...

    def add(self, counts: Sequence[SpanCount]) -> None:
        """Add to the stored counts."""
        ...

    def oldest(self) -> datetime | None:
        """The first step that has counts; null when there are none."""
        ...

    def take(self, before: datetime) -> list[SpanCount]:
        """Remove and return the counts of the steps before that time."""
        ...

    def calls(self) -> Sequence[tuple[str, str]]:
        """Pairs of services of which one has called the other, among the spans that are remembered."""
        ...

    def forget(self, before: datetime, operations_before: datetime) -> None:
        """Forget spans that were seen before a time, and operations that were not seen since another."""
        ...


class ServiceEdgeRepository(Protocol):
    """The observed part of the service graph."""

    def see(self, edges: ServiceEdges, now: datetime) -> None:
        """Edges that were observed now."""
        ...

    def known_among(self, services: Sequence[str]) -> set[str]:
        """Those of the names that are names of services with series."""
        ...

    def since(self, start: datetime) -> ServiceEdges:
        """Edges that were observed at or after that time, sorted."""
        ...
