"""Queries for changes of the size of a whole, such as a resized disk, which a ratio shows as a step.

References:
    https://prometheus.io/docs/prometheus/latest/querying/functions/#aggregation_over_time
"""

from collections.abc import Sequence

from models.metrics.promql import aggregated, grouping, selector
from models.metrics.recipe import Recipe, Term

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
    if recipe.size is None:
        raise ValueError(f"{recipe.signal} has no size")
    term, by = recipe.terms[recipe.size], grouping(recipe, service_labels)
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


def size_term(recipe: Recipe) -> Term:
    """The term that is the size of the whole."""
    if recipe.size is None:
        raise ValueError(f"{recipe.signal} has no size")
    return recipe.terms[recipe.size]
