"""Reads which service calls which: one query for each metric that counts calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.checks import require_name
from core.domain import ServiceEdges
from core.errors import InputError
from models.metrics.calls import call_grouping, call_query, callee_in, caller_in
from models.metrics.promql import selector
from models.metrics.recipe import CallMetric, Term
from models.metrics.signal_series import UNKNOWN, Naming
from pipelines.sources.prometheus_queries import Item, matchers_of_halves


@dataclass(frozen=True, slots=True)
class CallQuery:
    """The query of a metric of calls (`pipelines.sources.prometheus_queries.RangeQuery`)."""

    call: CallMetric
    service_labels: tuple[str, ...]
    only: tuple[str, ...] = ()

    @property
    def selector(self) -> str:
        return selector(Term(metric=self.call.metric, where=self.call.where), self.only)

    @property
    def text(self) -> str:
        return call_query(self.call, self.service_labels, self.only)

    def may_be_halved_by(self, label: str) -> bool:
        return label in call_grouping(self.call, self.service_labels)

    def halves(self, label: str, values: Sequence[str]) -> "tuple[CallQuery, CallQuery]":
        """The calls whose metrics have one of these values, and all others."""
        one, other = matchers_of_halves(label, values)
        return replace(self, only=(*self.only, one)), replace(self, only=(*self.only, other))

    def __hash__(self) -> int:
        return hash((self.call.metric, self.only))


class CallSpan(Protocol):
    """A span of time of a Prometheus, or of what clients pushed."""

    def read_last(self, query: CallQuery) -> Iterator[Item]:
        """The series that the query has at the end of the span."""
        ...

    def reject(self, row: Mapping[str, object], reason: str) -> None:
        """Keep for a dead letter what cannot be stored."""
        ...


def read_calls(metrics: Iterable[CallMetric], naming: Naming, span: CallSpan) -> ServiceEdges:
    """The calls at the end of a span of time: (caller, callee), sorted, each once; none of a service to itself.

    Args:
        naming: names the callers whose name the labels of the call do not have.
    """
    labels_of_services = tuple(naming.services.prometheus_labels)
    found = set()
    for metric in metrics:
        for labels, _, _ in span.read_last(CallQuery(metric, labels_of_services)):
            callee = callee_in(metric, labels)
            caller = caller_in(metric, labels) if metric.caller else naming.service_of(labels)
            if not (caller and callee) or caller in {callee, UNKNOWN}:
                continue
            try:
                require_name(caller, "the calling service")
                require_name(callee, "the called service")
            except InputError as error:
                span.reject({"metric": metric.metric, "labels": dict(labels)}, str(error))
            else:
                found.add((caller, callee))
    return tuple(sorted(found))
