"""Events of wholes whose size has changed, from the metrics that golden signals are computed from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from core.domain import Event
from core.errors import InputError
from core.metric_names import guess_metric
from core.resizes import resize_event
from models.metrics.promql import grouping, selector
from models.metrics.recipe import Recipe
from models.metrics.signal_series import Naming
from models.metrics.size_changes import size_changes_query, size_term
from pipelines.sources.prometheus_queries import Span, matchers_of_halves
from pipelines.sources.read_plan import Pull


@dataclass(frozen=True, slots=True)
class SizeChanges:
    """The query for changes of a size (`pipelines.sources.prometheus_queries.RangeQuery`)."""

    recipe: Recipe
    step_s: int
    service_labels: tuple[str, ...]
    relative: bool
    only: tuple[str, ...] = ()

    @property
    def selector(self) -> str:
        return selector(size_term(self.recipe), self.only)

    @property
    def text(self) -> str:
        return size_changes_query(
            self.recipe,
            self.step_s,
            service_labels=self.service_labels,
            only=self.only,
            relative=self.relative,
        )

    def may_be_halved_by(self, label: str) -> bool:
        return label in grouping(self.recipe, self.service_labels)

    def halves(self, label: str, values: Sequence[str]) -> "tuple[SizeChanges, SizeChanges]":
        """The series whose metrics have one of these values, and all others."""
        one, other = matchers_of_halves(label, values)
        return replace(self, only=(*self.only, one)), replace(self, only=(*self.only, other))

    def __hash__(self) -> int:
        return hash((self.recipe.signal, self.relative, self.only))


def resizes(recipe: Recipe, naming: Naming, span: Span, pull: Pull) -> Iterator[Event]:
    """Each change of the size of a recipe in the span. Without changes it costs one query with an empty response."""
    query = SizeChanges(recipe, pull.step_s, tuple(pull.services.prometheus_labels), relative=True)
    changes = list(span.read(query))
    if not changes:
        return
    sizes = {
        frozenset(labels.items()): dict(zip(times, values, strict=True))
        for labels, times, values in span.read(replace(query, relative=False))
    }
    unit = guess_metric(size_term(recipe).metric).unit
    for labels, times, ratios in changes:
        try:
            series = naming.series(recipe, labels)
        except InputError:
            continue  # the signal itself is rejected with the reason
        known = sizes.get(frozenset(labels.items()), {})
        for time, ratio in zip(times, ratios, strict=True):
            if time not in known:
                continue
            after = float(known[time])
            before = after / float(ratio)
            yield resize_event(series, "size", before, after, unit=unit, at=datetime.fromtimestamp(time, UTC))
