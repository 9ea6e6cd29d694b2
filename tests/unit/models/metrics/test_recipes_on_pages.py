"""Each recipe fits a page of its exporter: every metric exists there with the labels that the recipe filters and keeps.

The pages are in tests/cases/exporters. Some were recorded from the exporter, the others are written from its source.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import pytest
import yaml
from exporter_pages import PAGES, RECIPES, samples_of

from models.metrics.parse_recipes import parse_exporter
from models.metrics.recipe import Exporter, Recipe, Term

Labels = Mapping[str, str]


@lru_cache
def _exporter(name: str) -> Exporter:
    return parse_exporter(yaml.safe_load((RECIPES / f"{name}.yaml").read_text()), name)


def _terms(recipe: Recipe) -> Iterator[Term]:
    yield from recipe.terms.values()
    if recipe.unless is not None:
        yield recipe.unless


def _selects(term: Term, labels: Labels) -> bool:
    """Whether PromQL would select a series: a label that is missing is empty."""
    value = labels.get
    return (
        all(value(name, "") == wanted for name, wanted in term.where.items())
        and all(re.fullmatch(wanted, value(name, "")) for name, wanted in term.matching.items())
        and not any(re.fullmatch(unwanted, value(name, "")) for name, unwanted in term.excluding.items())
    )


def _problems(exporter: Exporter, page: Mapping[str, Sequence[Labels]]) -> list[str]:
    """What the terms of recipes need and the page does not have."""
    found = []
    for recipe in exporter.recipes:
        for term in _terms(recipe):
            series = page.get(term.metric)
            if series is None:
                found.append(f"{recipe.signal}: no metric {term.metric}")
                continue
            selected = [labels for labels in series if _selects(term, labels)]
            if not selected:
                found.append(f"{recipe.signal}: no series of {term.metric} has the labels of the filter")
            elif not any(all(labels.get(name) for name in recipe.by) for labels in selected):
                found.append(f"{recipe.signal}: {term.metric} has no labels {', '.join(recipe.by)}")
            elif recipe.quantile is not None and not all("le" in labels for labels in selected):
                found.append(f"{recipe.signal}: {term.metric} is no histogram")
    for call in exporter.calls:
        selected = [labels for labels in page.get(call.metric, ()) if call.where.items() <= labels.items()]
        ends = [call.callee, call.caller] if call.caller else [call.callee]
        if not any(all(any(map(labels.get, end)) for end in ends) for labels in selected):
            found.append(f"{call.metric} does not name both ends of a call")
    return found


def test_there_is_a_page_for_each_file_of_recipes() -> None:
    files = {path.stem for path in RECIPES.glob("*.yaml")}
    assert len(files) > 20
    assert {path.stem for path in PAGES.glob("*.prom")} == files


@pytest.mark.parametrize("name", sorted(path.stem for path in PAGES.glob("*.prom")))
def test_every_metric_of_a_recipe_is_on_the_page_of_its_exporter_with_its_labels(name: str) -> None:
    exporter = _exporter(name)
    page = samples_of(name)
    assert _problems(exporter, page) == []
    assert exporter.host_metric is None or exporter.host_metric in page


def test_signals_of_one_name_are_declared_alike() -> None:
    """A signal may have several recipes, for the names of several libraries, and one page of the documentation."""
    declared: dict[str, set[object]] = {}
    for path in RECIPES.glob("*.yaml"):
        for one in _exporter(path.stem).recipes:
            fields = (one.role, one.unit, one.direction, one.limit, one.slo_threshold)
            declared.setdefault(one.signal, set()).add(fields)
    assert {signal for signal, fields in declared.items() if len(fields) > 1} == set()


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ({}, "queue_waits: no metric waiting"),
        ({"waiting": [{"kind": "b", "queue": "mails"}]}, "no series of waiting has the labels of the filter"),
        ({"waiting": [{"kind": "a", "queue": ""}]}, "waiting has no labels queue"),
        ({"waiting": [{"kind": "a", "queue": "mails"}]}, None),
    ],
    ids=["no metric", "no label of the filter", "no label of the entity", "all there"],
)
def test_what_a_recipe_needs_and_a_page_lacks_is_found(
    page: Mapping[str, Sequence[Labels]], problem: str | None
) -> None:
    recipe = {
        "signal": "queue_waits", "about": "tasks that wait", "role": "saturation", "unit": "", "direction": "up_is_bad",
        "by": ["queue"], "formula": "x", "terms": {"x": {"metric": "waiting", "where": {"kind": "a"}}},
    }  # fmt: skip
    found = _problems(parse_exporter({"exporter": "e", "recipes": [recipe]}, "e.yaml"), page)
    assert [problem is not None and problem in one for one in found] == ([] if problem is None else [True])
