"""What a pull asks for: a plan gives the queries of one span of time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from core.domain import Event, Series, ServiceEdges
from core.service_names import ServiceRule
from models.metrics.evaluate import Evaluator
from models.metrics.vector import Vector
from pipelines.sources.call_queries import CallSpan
from pipelines.sources.prometheus_queries import RangeQuery, Span
from pipelines.sources.prometheus_values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What a plan needs to know.

    Attributes:
        step_s: seconds between values.
        window_s: of rates, in seconds.
        declared: metric -> the type that the server declares.
        types: the same and the types that were declared earlier.
    """

    tenant: str
    step_s: int
    services: ServiceRule
    window_s: int
    declared: Mapping[str, str]
    types: Mapping[str, str]


class MetricSpan(CallSpan, Protocol):
    """Which metrics exist in a span of time, of a Prometheus or of what clients pushed."""

    @property
    def end(self) -> int:
        """The last time, in seconds since 1970."""
        ...

    def names(self) -> list[str]:
        """The names of all metrics, sorted."""
        ...

    def label_names(self, metric: str) -> list[str]:
        """The names of the labels of all series of a metric."""
        ...

    def series_of(self, metrics: Sequence[str], since: float) -> list[Mapping[str, str]]:
        """The labels of all series of these metrics from that time (seconds since 1970) to the end of the span.

        Raises:
            RefusedQueryError: a server refuses the query.
        """
        ...


class ComputedQuery(RangeQuery, Protocol):
    """A query that a Prometheus computes of what it keeps, and we compute of what clients push."""

    @property
    def window_s(self) -> int:
        """Of rates, in seconds."""
        ...

    @property
    def service_labels(self) -> Sequence[str]:
        """Labels that may name a service."""
        ...

    def vector(self, evaluator: Evaluator) -> Vector:
        """The values of the query.

        Raises:
            InputError: a regular expression is invalid.
        """
        ...


class ValueSpan(MetricSpan, Protocol):
    """A span of time of which queries give values."""

    def values(self, query: ComputedQuery) -> Iterator[Values]:
        """The series of a query. One series may come in several parts."""
        ...


Query = TypeVar("Query", bound=RangeQuery, covariant=True)


@dataclass(frozen=True, slots=True)
class Read(Generic[Query]):
    """One query.

    Attributes:
        series_of: the series that labels in the response name; raises InputError for labels that cannot be stored.
        declared: types that the server declares for the metric, where series of other senders may need them.
    """

    query: Query
    series_of: Callable[[Mapping[str, str]], Series]
    declared: Mapping[str, str] = field(default_factory=dict)


class ReadPlan(Protocol):
    """Which queries are asked."""

    @property
    def name(self) -> str:
        """A part of the name of the source, because sources with other plans have other cursors."""
        ...

    def reads(self, span: Span, pull: Pull) -> Iterator[Read[RangeQuery]]:
        """The queries for one span of time, those of the most important series first."""
        ...

    def calls(self, span: Span, pull: Pull) -> ServiceEdges:
        """Which service calls which, at the end of a span of time, sorted."""
        ...

    def events(self, span: Span, pull: Pull) -> list[Event]:
        """What the server knows of changes in the span, after `reads`."""
        ...

    def take_notes(self) -> tuple[str, ...]:
        """What people must know of the last span, such as what was left out."""
        ...
