"""Computes a recipe from raw samples: what `models.metrics.promql.query_of` asks a Prometheus for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.service_names import SERVICE_LABELS
from models.metrics.formula import NOW, WINDOW, compute, names_in
from models.metrics.promql import LE, grouping
from models.metrics.quantiles import quantile_of_buckets
from models.metrics.raw_samples import MAX_DENSE_WINDOW_S, RawSamples, Selected, equal_to, having
from models.metrics.recipe import Aggregate, Recipe, Term
from models.metrics.vector import Vector, aggregated, key_of

#: What tells the targets of Prometheus apart.
_TARGET = ("job", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Computes recipes at some times.

    Attributes:
        samples: with those of the window, or of the lookback, before the first time.
        times_ms: of the values.
        window_s: of rates, in seconds.
        service_labels: labels that may name a service.
    """

    samples: RawSamples
    times_ms: IntArray
    window_s: int
    service_labels: Sequence[str] = SERVICE_LABELS

    def value(self, recipe: Recipe) -> Vector:
        """The series of a recipe. Values may be NaN, as those of Prometheus.

        Raises:
            InputError: a regular expression of the recipe is invalid.
        """
        labels = grouping(recipe, self.service_labels)
        by = (*labels, LE) if recipe.of_buckets else labels
        terms: dict[str, Vector] = {}
        # A term that is 0 of another one comes after it.
        for name, term in sorted(recipe.terms.items(), key=lambda item: item[1].else_zero_of is not None):
            own = self.term(term, by)
            terms[name] = own if term.else_zero_of is None else own.or_zero_of(terms[term.else_zero_of])
        vector = self._formula(recipe, terms)
        if recipe.quantile is not None:
            vector = quantile_of_buckets(recipe.quantile, vector)
        if recipe.unless is not None:
            vector = vector.unless(self.term(recipe.unless, by).above(0.0))
        if recipe.unlike is not None:
            vector = vector.unless(self._named_like(recipe.unlike), on=_TARGET)
        return vector

    def _formula(self, recipe: Recipe, terms: Mapping[str, Vector]) -> Vector:
        """The formula, for those labels and times that all of its terms have."""
        used = [terms[name] for name in sorted(names_in(recipe.tree))]
        places = [{key: at for at, key in enumerate(vector.keys)} for vector in used]
        keys = [key for key in used[0].keys if all(key in place for place in places)]
        shape = (len(keys), len(self.times_ms))
        rows = [[place[key] for key in keys] for place in places]
        present = np.ones(shape, dtype=bool)
        for vector, chosen in zip(used, rows, strict=True):
            present &= vector.present[chosen].reshape(shape)
        values: dict[str, FloatArray] = {
            NOW: np.broadcast_to(self.times_ms / 1000, shape),
            WINDOW: np.asarray(self.window_s, dtype=np.float64),
        }
        for name, vector, chosen in zip(sorted(names_in(recipe.tree)), used, rows, strict=True):
            values[name] = vector.values[chosen].reshape(shape)
        return Vector(keys, np.broadcast_to(compute(recipe.tree, values), shape), present)

    def term(self, term: Term, by: Sequence[str]) -> Vector:
        """The values of a term, for each combination of these labels.

        Raises:
            InputError: a regular expression of the term is invalid.
        """
        chosen = self._selected(term)
        if not term.rate:
            return self._aggregated(term, by, chosen, self.samples.values_at(chosen, self.times_ms))
        rates = self.samples.rates_at(chosen, self.times_ms, self.window_s)
        vector = self._aggregated(term, by, chosen, rates)
        if self.window_s > MAX_DENSE_WINDOW_S:
            return vector
        going_on = self.samples.going_on_at(chosen, self.times_ms)
        keys = [key_of(self.samples.labels[at], by) for at in chosen.tolist()]
        # Where no series goes on, such as of an exporter that died, the window is half empty and its rate too low.
        return vector.both(aggregated(going_on, keys, Aggregate.COUNT))

    def extremes(
        self, term: Term, by: Sequence[str], *, window_s: int, offset_s: int
    ) -> tuple[Vector, Vector]:
        """A term of the highest, and of the lowest values of the window that ends `offset_s` before each time.

        Raises:
            InputError: a regular expression of the term is invalid.
        """
        chosen = self._selected(term)
        found = self.samples.extremes_at(chosen, self.times_ms - offset_s * 1000, window_s)
        highest, lowest = (self._aggregated(term, by, chosen, one) for one in found)
        return highest, lowest

    def _aggregated(self, term: Term, by: Sequence[str], chosen: IntArray, selected: Selected) -> Vector:
        keys = [key_of(self.samples.labels[at], by) for at in chosen.tolist()]
        vector = aggregated(selected, keys, term.aggregate)
        if term.above is not None:
            vector = vector.above(term.above)
        return vector if term.below is None else vector.below(term.below)

    def _selected(self, term: Term) -> IntArray:
        series = self.samples.of_metric(term.metric)
        labels = [self.samples.labels[at] for at in series.tolist()]
        return series[selected_by(term, labels)]

    def _named_like(self, pattern: str) -> Vector:
        """The targets that have a metric with such a name."""
        chosen = self.samples.of_names_like(pattern)
        selected = self.samples.values_at(chosen, self.times_ms)
        keys = [key_of(self.samples.labels[at], _TARGET) for at in chosen.tolist()]
        return aggregated(selected, keys, Aggregate.COUNT)


def selected_by(term: Term, labels: Sequence[Mapping[str, str]]) -> BoolArray:
    """Which series of its metric a term selects.

    Raises:
        InputError: a regular expression of the term is invalid.
    """
    return (
        equal_to(labels, term.where)
        & having(labels, term.matching)
        & having(labels, term.excluding, negated=True)
    )
