"""A recipe as one query of PromQL.

References:
    https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

import json
from collections.abc import Sequence

from core.service_names import SERVICE_LABELS
from models.metrics.formula import WINDOW, to_promql
from models.metrics.raw_samples import MAX_DENSE_WINDOW_S
from models.metrics.recipe import Recipe, Scope, Term

#: Labels that name a place of many services; a service with the same name elsewhere is another one.
PLACE_LABELS = ("cluster", "namespace")
#: The bucket label of a histogram.
LE = "le"


def query_of(
    recipe: Recipe, window_s: int, *, service_labels: Sequence[str] = SERVICE_LABELS, only: Sequence[str] = ()
) -> str:
    """The signal in PromQL.

    Args:
        window_s: of rates, in seconds.
        service_labels: labels that may name a service.
        only: further matchers for each metric, to ask for a part of the series.
    """
    labels = grouping(recipe, service_labels)
    by = (*labels, LE) if recipe.of_buckets else labels
    texts = {WINDOW: str(window_s)}
    # A term that is 0 of another one comes after it.
    for name, term in sorted(recipe.terms.items(), key=lambda item: item[1].else_zero_of is not None):
        text = _aggregated(term, by, window_s, only, whole=recipe.quantile is not None)
        other = term.else_zero_of
        texts[name] = text if other is None else f"({text} or {texts[other]} * 0)"
    value = to_promql(recipe.tree, texts)
    if recipe.quantile is not None:
        value = f"histogram_quantile({recipe.quantile!r}, {value})"
    if recipe.unless is not None:
        value = f"{value} unless ({_aggregated(recipe.unless, by, window_s, only)} > 0)"
    if recipe.unlike is not None:
        value = f"{value} unless on (job, instance) {{__name__=~{_quoted(recipe.unlike)}}}"
    return value


def grouping(recipe: Recipe, service_labels: Sequence[str] = SERVICE_LABELS) -> tuple[str, ...]:
    """The labels that the series of the signal keep."""
    names = [*recipe.service, *service_labels, *PLACE_LABELS, *recipe.by]
    if recipe.scope is Scope.SERVICE:
        names = [name for name in names if name != "instance"]
    return tuple(dict.fromkeys(names))


def selector(term: Term, only: Sequence[str] = ()) -> str:
    """The series of a term.

    Examples:
        >>> selector(Term(metric="hits_total", matching={"code": "5.."}))
        'hits_total{code=~"5.."}'
    """
    matchers = [f"{name}={_quoted(value)}" for name, value in term.where.items()]
    matchers += [f"{name}=~{_quoted(value)}" for name, value in term.matching.items()]
    matchers += [f"{name}!~{_quoted(value)}" for name, value in term.excluding.items()]
    matchers += only
    return term.metric + (f"{{{','.join(matchers)}}}" if matchers else "")


def aggregated(term: Term, by: Sequence[str], values: str) -> str:
    """One value for each entity.

    Args:
        values: PromQL of the values of the term.
    """
    text = f"{term.aggregate} by ({', '.join(by)}) ({values})"
    if term.above is not None:
        text = f"({text} > {term.above!r})"
    return text if term.below is None else f"({text} < {term.below!r})"


def _aggregated(
    term: Term, by: Sequence[str], window_s: int, only: Sequence[str], *, whole: bool = False
) -> str:
    """A term for each entity; a native histogram as the number of its values, or as a whole."""
    series = selector(term, only)
    if not term.rate:
        return aggregated(term, by, series)
    rate = f"rate({series}[{window_s}s])"
    rates = aggregated(term, by, f"histogram_count({rate})" if term.native and not whole else rate)
    if window_s > MAX_DENSE_WINDOW_S:
        return rates
    # Where no series goes on, such as of an exporter that died, the window is half empty and its rate too low.
    return f"({rates} and count by ({', '.join(by)}) ({series}))"


def _quoted(text: str) -> str:
    """A string of PromQL; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
