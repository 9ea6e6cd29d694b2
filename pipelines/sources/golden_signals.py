"""Which queries give the golden signals of raw metrics: one query for each recipe, not for each series.

A Prometheus computes the queries of what it scrapes; `pipelines.sources.pushed_signals` computes those of what clients
push.

The recipes of known exporters come first, then requests by convention (traffic, error ratio, latency of any histogram
or counter of requests), then metrics that nobody knows, as far as the series budget reaches.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.domain import Event, Series, ServiceEdges
from core.durations import DAY_S
from core.errors import InputError
from core.settings import Settings
from models.metrics.calls import client_metrics
from models.metrics.conventions import CODE_LABELS, is_native, is_of_requests, request_recipes
from models.metrics.evaluate import Evaluator
from models.metrics.plain import may_be_moment, plain_recipes, watched
from models.metrics.promql import grouping, query_of, selector
from models.metrics.recipe import Exporter, Recipe, Term
from models.metrics.signal_series import Naming, hosts_of
from models.metrics.size_changes import size_term
from models.metrics.vector import Vector
from pipelines.sources.call_queries import read_calls
from pipelines.sources.prometheus_api import RefusedQueryError
from pipelines.sources.prometheus_queries import matchers_of_halves
from pipelines.sources.read_plan import MetricSpan, Pull, Read, ValueSpan
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.size_changes import resizes

#: So far back a host is remembered whose exporter is down.
HOST_MEMORY_S = 30 * DAY_S
#: Tells the name of a host where its targets are known by address only.
NAME_METRIC = "node_uname_info"
#: Why a metric is left out.
NOT_WATCHED = "they are facts, moments or parts of distributions"
NO_RECIPE = "no recipe of their exporter reads them"
#: So many metrics that were left out are named in the report.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class SignalQuery:
    """The query of a recipe, or of a part of its series (`pipelines.sources.prometheus_queries.RangeQuery`)."""

    recipe: Recipe
    window_s: int
    service_labels: tuple[str, ...]
    only: tuple[str, ...] = ()

    @property
    def selector(self) -> str:
        """The series of its first term."""
        return selector(next(iter(self.recipe.terms.values())), self.only)

    @property
    def text(self) -> str:
        return query_of(self.recipe, self.window_s, service_labels=self.service_labels, only=self.only)

    def vector(self, evaluator: Evaluator) -> Vector:
        """The values of the recipe, of pushed samples."""
        return evaluator.value(self.recipe)

    def may_be_halved_by(self, label: str) -> bool:
        return label in grouping(self.recipe, self.service_labels)

    def halves(self, label: str, values: Sequence[str]) -> "tuple[SignalQuery, SignalQuery]":
        """The series whose metrics have one of these values, and all others."""
        one, other = matchers_of_halves(label, values)
        return replace(self, only=(*self.only, one)), replace(self, only=(*self.only, other))

    def __hash__(self) -> int:
        return hash((self.recipe.signal, self.window_s, self.only))


class GoldenSignals:
    """The golden signals of the metrics that exist (`pipelines.sources.read_plan.ReadPlan`).

    Args:
        budget: at most so many series; metrics that no recipe knows come last and are left out first.
    """

    def __init__(self, exporters: Sequence[Exporter], *, budget: int) -> None:
        self._exporters = exporters
        self._budget = budget
        self._seen: set[int] = set()
        self._given: set[str] = set()
        self._sized: list[tuple[Recipe, Naming]] = []
        self._left_out: dict[str, str] = {}
        self._noted = False
        self._names: Sequence[str] = ()
        self._naming: Naming | None = None

    @classmethod
    def configured(cls, settings: Settings) -> "GoldenSignals":
        """With our recipes and those of `recipes_dir`.

        Raises:
            InputError: a recipe is wrong.
        """
        return cls(read_exporters(settings.recipes_dir), budget=settings.series_budget)

    @property
    def name(self) -> str:
        return "golden signals"

    def reads(self, span: MetricSpan, pull: Pull) -> Iterator[Read[SignalQuery]]:
        """One query for each signal, the most important first."""
        names = span.names()
        naming = self.naming(span, pull)
        self._names, self._naming = names, naming
        of_exporters, of_requests, plain = self.recipes(span, pull, names)
        self._leave_out(names, [*of_exporters, *of_requests, *plain])
        self._sized = [(recipe, naming) for recipe in of_exporters if recipe.size is not None]
        for recipe in (*of_exporters, *of_requests):
            yield self._read(recipe, pull, naming)
        for recipe in plain:
            if len(self._seen) >= self._budget:
                self._left_out[recipe.signal] = f"the budget of {self._budget} series is used up"
            else:
                yield self._read(recipe, pull, naming)
                if recipe.signal not in self._given and may_be_moment(recipe):
                    self._left_out[recipe.signal] = NOT_WATCHED

    def _leave_out(self, names: Sequence[str], recipes: Iterable[Recipe]) -> None:
        """Remember which metrics no recipe reads, and why."""
        read = {term.metric for recipe in recipes for term in recipe.every_term} | set(self.host_metrics)
        for name in names:
            if name not in read:
                owned = any(one.owns(name) for one in self._exporters)
                self._left_out[name] = NO_RECIPE if owned else NOT_WATCHED

    def calls(self, span: MetricSpan, pull: Pull) -> ServiceEdges:
        """What the metrics of the last `reads` tell about calls."""
        if self._naming is None:
            return ()
        known = set(self._names)
        of_exporters = [call for one in self._exporters for call in one.calls if call.metric in known]
        declared = {call.metric for call in of_exporters}
        others = (name for name in self._names if name not in declared)
        of_clients = client_metrics(others, _natives(self._names, known, pull))
        return read_calls([*of_exporters, *of_clients], self._naming, span)

    def events(self, span: ValueSpan, pull: Pull) -> list[Event]:
        """Each change of the size of a whole, such as a resized disk, at the first time with the new size."""
        return [event for recipe, naming in self._sized for event in resizes(recipe, naming, span, pull)]

    def take_notes(self) -> tuple[str, ...]:
        """Which metrics were left out, once: later pulls leave out the same ones."""
        if self._noted or not self._left_out:
            return ()
        self._noted = True
        reasons: dict[str, list[str]] = {}
        for metric, reason in self._left_out.items():
            reasons.setdefault(reason, []).append(metric)
        return tuple(_note(metrics, reason) for reason, metrics in reasons.items())

    def _read(self, recipe: Recipe, pull: Pull, naming: Naming) -> Read[SignalQuery]:
        def series_of(labels: Mapping[str, str]) -> Series:
            series = naming.series(recipe, labels)
            self._seen.add(series.series_id)
            self._given.add(series.metric)
            return series

        return Read(SignalQuery(recipe, pull.window_s, tuple(pull.services.prometheus_labels)), series_of)

    def naming(self, span: MetricSpan, pull: Pull) -> Naming:
        """How services are named, with the hosts of the last days."""
        return Naming(
            tenant=pull.tenant,
            step_s=pull.step_s,
            services=pull.services,
            hosts=self._hosts(span),
        )

    def recipes(
        self, span: MetricSpan, pull: Pull, names: Sequence[str]
    ) -> tuple[list[Recipe], list[Recipe], list[Recipe]]:
        """Recipes of exporters, of requests by convention, and of other metrics."""
        known = set(names)
        of_exporters = [
            recipe for one in self._exporters for recipe in one.recipes if recipe.metrics <= known
        ]
        read = {metric for one in self._exporters for recipe in one.recipes for metric in recipe.metrics}
        others = [
            name for name in names if name not in read and not any(one.owns(name) for one in self._exporters)
        ]
        natives = _natives(others, known, pull)
        counted = [name for name in others if is_of_requests(name)]
        counted += [name for name in natives if is_of_requests(f"{name}_bucket")]
        codes = _code_labels(counted, known, span)
        of_requests = list(request_recipes(others, codes, natives))
        used = {metric for recipe in of_requests for metric in recipe.metrics} | set(natives)
        rest = [name for name in others if name not in used]
        plain = list(plain_recipes(watched(rest), pull.types))
        return of_exporters, of_requests, plain

    @property
    def size_terms(self) -> list[Term]:
        """The sizes of wholes, such as disks."""
        return [size_term(recipe) for one in self._exporters for recipe in one.recipes if recipe.size]

    @property
    def host_metrics(self) -> list[str]:
        """The metrics that tell hosts from other targets."""
        return [*(one.host_metric for one in self._exporters if one.host_metric is not None), NAME_METRIC]

    def _hosts(self, span: MetricSpan) -> dict[tuple[str, str], str]:
        try:
            found = span.series_of(self.host_metrics, span.end - HOST_MEMORY_S)
        except RefusedQueryError as error:
            raise InputError(f"the hosts cannot be told from other targets: {error}") from error
        return hosts_of(sorted(found, key=lambda labels: "nodename" in labels))


def _natives(metrics: Iterable[str], known: Container[str], pull: Pull) -> list[str]:
    """Those of the metrics that are native histograms."""
    return [name for name in metrics if is_native(name, known, pull.types)]


def _code_labels(metrics: Iterable[str], known: set[str], span: MetricSpan) -> dict[str, str]:
    """Metric -> its label that holds the result of a request, of those that have one."""
    found = {}
    for metric in metrics:
        counter = metric.removesuffix("_bucket") + "_count" if metric.endswith("_bucket") else metric
        if counter in known:
            labels = set(span.label_names(counter))
            label = next((name for name in CODE_LABELS if name in labels), None)
            if label is not None:
                found[counter] = label
    return found


def _note(metrics: Sequence[str], reason: str) -> str:
    shown = ", ".join(metrics[:SHOWN]) + (", …" if len(metrics) > SHOWN else "")
    return f"{len(metrics)} metrics are left out, because {reason}: {shown}"
