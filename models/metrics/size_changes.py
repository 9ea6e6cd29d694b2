"""Queries for changes of the size of a whole, such as a resized disk, which a ratio shows as a step.

References:
    https://prometheus.io/docs/prometheus/latest/querying/functions/#aggregation_over_time
"""

from collections.abc import Sequence

import numpy as np

from models.metrics.evaluate import Evaluator
from models.metrics.promql import aggregated, grouping, selector
from models.metrics.recipe import Recipe, Term
from models.metrics.vector import Vector

#: A size that changes by less is no resize: memory that the kernel reserves, or rounding.
LEAST_CHANGE = 0.02
#: So long the size before must have been the same. It bridges restarts, and a size that goes back and forth gives one
#: change in that time.
STABLE_S = 6 * 3_600
#: Sizes that differ by less are the same.
_SAME = 0.999


def size_changes_query(
    recipe: Recipe, step_s: int, *, service_labels: Sequence[str], only: Sequence[str] = (), relative: bool
) -> str:
    """PromQL that has a value at the first step with another size, and at no other time.

    Args:
        recipe: with the name of its size.
        step_s: seconds between values.
        only: further matchers, to ask for a part of the series.
        relative: the new size as a multiple of the size before; else the new size.
    """
    term, by = size_term(recipe), grouping(recipe, service_labels)
    now = aggregated(term, by, selector(term, only))
    highest, lowest = (
        aggregated(term, by, f"{function}({selector(term, only)}[{STABLE_S}s] offset {step_s}s)")
        for function in ("max_over_time", "min_over_time")
    )
    ratio = f"({now} / {highest})"
    changed = f"({ratio} > {1 + LEAST_CHANGE!r} or {ratio} < {1 - LEAST_CHANGE!r})"
    text = f"{changed if relative else now} and {lowest} / {highest} > {_SAME}"
    text = text if relative else f"{text} and {changed}"
    if recipe.unless is None:
        return text
    return f"({text}) unless ({aggregated(recipe.unless, by, selector(recipe.unless, only))} > 0)"


def size_changes(evaluator: Evaluator, recipe: Recipe, step_s: int, *, relative: bool) -> Vector:
    """What `size_changes_query` asks a Prometheus for, of pushed samples.

    Args:
        evaluator: its samples go back `STABLE_S` and a step before its first time.
    Raises:
        InputError: a regular expression of the recipe is invalid.
    """
    term, by = size_term(recipe), grouping(recipe, evaluator.service_labels)
    now = evaluator.term(term, by)
    highest, lowest = evaluator.extremes(term, by, window_s=STABLE_S, offset_s=step_s)
    ratio = now.divided_by(highest)
    with np.errstate(invalid="ignore"):
        different = (ratio.values > 1 + LEAST_CHANGE) | (ratio.values < 1 - LEAST_CHANGE)
    changed = Vector(ratio.keys, ratio.values, ratio.present & different)
    vector = (changed if relative else now.both(changed)).both(lowest.divided_by(highest).above(_SAME))
    return vector if recipe.unless is None else vector.unless(evaluator.term(recipe.unless, by).above(0.0))


def size_term(recipe: Recipe) -> Term:
    """The term that is the size of the whole."""
    if recipe.size is None:
        raise ValueError(f"{recipe.signal} has no size")
    return recipe.terms[recipe.size]
