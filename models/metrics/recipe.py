"""Recipes: how golden signals come from the metrics of an exporter. A recipe is data, in the YAML files beside it.

A recipe names a signal and gives its formula over terms. A term is one metric, filtered by labels and summed over the
labels that come and go (cpu, pod, handler), so that one series for each service or entity is left.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core.domain import Direction, Role, SeriesKind
from core.errors import InputError
from models.metrics.formula import NOW, WINDOW, names_in, parse_formula

#: The least difference of two replicas that a person would care about, by unit; and that of two error ratios.
LEAST_DIFFERENCES: Mapping[str, float] = {
    "ratio": 0.1,
    "seconds": 0.005,
    "ms": 5.0,
    "microseconds": 5_000.0,
    "bytes": 32 * 2.0**20,
    "bytes/s": 10_000.0,
    "cores": 0.1,
    "requests/s": 0.1,
}
LEAST_ERROR_RATIO = 0.05


class Aggregate(StrEnum):
    """How the series of a term become one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    AVG = "avg"
    COUNT = "count"


class Scope(StrEnum):
    """What a signal is about."""

    SERVICE = "service"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One metric, filtered and aggregated.

    Attributes:
        metric: its name.
        where: label -> value that it must have.
        matching: label -> regular expression that its whole value must match (RE2, as in PromQL).
        excluding: label -> regular expression that its whole value must not match.
        rate: a counter, used as its rate per second.
        native: the metric is a native histogram of Prometheus, used as the number of its values; where the recipe has
            a quantile, as the histogram. Only a Prometheus computes it.
        above, below: values that are not above, or not below this one are left out, such as an unknown speed of -1.
        else_zero_of: name of another term; where that one has a value and this one has none, this one is 0.
    """

    metric: str
    where: Mapping[str, str] = field(default_factory=dict)
    matching: Mapping[str, str] = field(default_factory=dict)
    excluding: Mapping[str, str] = field(default_factory=dict)
    rate: bool = False
    native: bool = False
    above: float | None = None
    below: float | None = None
    aggregate: Aggregate = Aggregate.SUM
    else_zero_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one golden signal comes from metrics.

    Attributes:
        signal: the metric of the series that it gives.
        about: what the signal means, for people.
        by: labels of the entity within the service, such as a mount point.
        service: labels that name the service, before those that usually do, such as the deployment of a pod.
        formula: over the names of `terms`.
        quantile: in (0, 1): the formula is one term, the buckets of a histogram or a native histogram, and the signal
            is their quantile.
        slo_threshold: where users or operators notice, in the unit of the values.
        size: name of the term that is the size of the whole; a change of it is an event.
        unless: entities for which this term is above 0 do not get this signal.
        unlike: name of a metric (regular expression); instances that have it do not get this signal.
        peers: the replicas of a service are compared with each other by this signal.
    """

    signal: str
    about: str
    role: Role
    unit: str
    direction: Direction
    formula: str
    terms: Mapping[str, Term]
    scope: Scope = Scope.INSTANCE
    by: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    quantile: float | None = None
    limit: float | None = None
    slo_threshold: float | None = None
    size: str | None = None
    unless: Term | None = None
    unlike: str | None = None
    peers: bool = False

    def __post_init__(self) -> None:
        reserved = {NOW, WINDOW} & self.terms.keys()
        if reserved:
            raise InputError(
                f"signal {self.signal}: {' and '.join(sorted(reserved))} cannot be the name of a term; formulas use it"
                " for the time or the window of rates"
            )
        missing = names_in(self.tree) - self.terms.keys()
        if missing:
            raise InputError(f"signal {self.signal}: the formula has no term {', '.join(sorted(missing))}")
        for name, term in self.terms.items():
            if term.native and not term.rate:
                raise InputError(
                    f"signal {self.signal}, term {name}: a native histogram is used as a rate; add rate: true"
                )
            if term.else_zero_of is not None and term.else_zero_of not in self.terms:
                raise InputError(f"signal {self.signal}, term {name}: there is no term {term.else_zero_of}")
        if self.size is not None and self.size not in self.terms:
            raise InputError(f"signal {self.signal}: size names no term: {self.size}")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise InputError(f"signal {self.signal}: a quantile lies between 0 and 1, got {self.quantile}")
        if self.peers and self.unit not in LEAST_DIFFERENCES:
            known = ", ".join(LEAST_DIFFERENCES)
            raise InputError(
                f"signal {self.signal}: replicas are compared by signals with one of the units {known}; leave out peers"
            )

    @property
    def tree(self) -> ast.expr:
        """The parsed formula."""
        return parse_formula(self.formula)

    @property
    def every_term(self) -> tuple[Term, ...]:
        """The terms of the formula, and that of `unless`."""
        return (*self.terms.values(), *(() if self.unless is None else (self.unless,)))

    @property
    def of_buckets(self) -> bool:
        """Whether the signal is a quantile of the buckets of classic histograms."""
        return self.quantile is not None and not any(term.native for term in self.terms.values())

    @property
    def metrics(self) -> set[str]:
        """The metrics without which the signal cannot be computed."""
        return {term.metric for term in self.terms.values() if term.else_zero_of is None}

    @property
    def least_difference(self) -> float:
        """The least difference of two replicas that a person would care about, > 0; of signals with `peers`."""
        is_error_ratio = self.role is Role.ERRORS and self.unit == "ratio"
        return LEAST_ERROR_RATIO if is_error_ratio else LEAST_DIFFERENCES[self.unit]

    @property
    def kind(self) -> SeriesKind:
        return SeriesKind.RATIO if self.unit == "ratio" else SeriesKind.GAUGE


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMetric:
    """A metric that counts calls from one service to another.

    Attributes:
        metric: its name.
        where: label -> value that it must have.
        excluding: label -> regular expression that its whole value must not match.
        caller: labels that name the calling service, the most important first; empty: the service of the series.
        callee: labels that name the called service, the most important first.
    """

    metric: str
    callee: tuple[str, ...]
    caller: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    excluding: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """The recipes for one exporter.

    Attributes:
        name: of the exporter.
        prefixes: how the names of its metrics start; those without a recipe are of no use to watch.
        host_metric: a metric of this exporter that tells that an instance is a host.
        recipes: in the order of the file.
        calls: metrics that tell which service calls which.
    """

    name: str
    prefixes: tuple[str, ...]
    recipes: Sequence[Recipe]
    host_metric: str | None = None
    calls: Sequence[CallMetric] = ()

    def owns(self, metric: str) -> bool:
        """Whether a metric is one of this exporter's."""
        return metric.startswith(self.prefixes)
