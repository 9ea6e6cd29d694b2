"""Events of wholes whose size has changed, from the metrics that golden signals are computed from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from core.domain import Event
from core.errors import InputError
from core.metric_names import guess_metric
from core.resizes import SIZE, resize_event
from models.metrics.evaluate import Evaluator
from models.metrics.promql import grouping, selector
from models.metrics.recipe import Recipe
from models.metrics.signal_series import Naming
from models.metrics.size_changes import size_changes, size_changes_query, size_term
from models.metrics.vector import Vector
from pipelines.sources.prometheus_queries import matchers_of_halves
from pipelines.sources.read_plan import Pull, ValueSpan


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

    @property
    def window_s(self) -> int:
        return self.step_s

    def vector(self, evaluator: Evaluator) -> Vector:
        """The changes, of pushed samples."""
        return size_changes(evaluator, self.recipe, self.step_s, relative=self.relative)

    def may_be_halved_by(self, label: str) -> bool:
        return label in grouping(self.recipe, self.service_labels)

    def halves(self, label: str, values: Sequence[str]) -> "tuple[SizeChanges, SizeChanges]":
        """The series whose metrics have one of these values, and all others."""
        one, other = matchers_of_halves(label, values)
        return replace(self, only=(*self.only, one)), replace(self, only=(*self.only, other))

    def __hash__(self) -> int:
        return hash((self.recipe.signal, self.relative, self.only))


def resizes(recipe: Recipe, naming: Naming, span: ValueSpan, pull: Pull) -> Iterator[Event]:
    """Each change of the size of a recipe in the span. Without changes it costs one query with an empty response."""
    query = SizeChanges(recipe, pull.step_s, tuple(pull.services.prometheus_labels), relative=True)
    changes = list(span.values(query))
    if not any(len(times) for _, times, _ in changes):
        return
    sizes: dict[frozenset[tuple[str, str]], dict[int, float]] = {}
    for labels, times, values in span.values(replace(query, relative=False)):
        known = sizes.setdefault(frozenset(labels.items()), {})
        known.update(zip(times.tolist(), values.tolist(), strict=True))
    unit = guess_metric(size_term(recipe).metric).unit
    for labels, times, ratios in changes:
        try:
            series = naming.series(recipe, labels)
        except InputError:
            continue  # the signal itself is rejected with the reason
        known = sizes.get(frozenset(labels.items()), {})
        for time, ratio in zip(times.tolist(), ratios.tolist(), strict=True):
            if time in known:
                after = known[time]
                at = datetime.fromtimestamp(time // 1_000_000, UTC)
                yield resize_event(series, SIZE, after / ratio, after, unit=unit, at=at)
