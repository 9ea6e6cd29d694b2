"""The tables of docs/golden-signals.md, from the files of recipes. Run this file to write them into the page."""

from collections.abc import Iterator

from data_sets import ROOT

from core.domain import Direction
from models.metrics.recipe import Exporter, Recipe, Scope
from pipelines.sources.recipe_files import read_exporters

PAGE = ROOT / "docs" / "golden-signals.md"
START = "\n### "
_BAD = {Direction.UP_IS_BAD: "high", Direction.DOWN_IS_BAD: "low", Direction.BOTH: "high, low"}


def tables() -> str:
    """One section for each exporter that gives signals, in the order of their names."""
    exporters = sorted((one for one in read_exporters() if one.recipes), key=lambda one: one.name.lower())
    return "\n".join("\n".join(_section(one)) for one in exporters)


def _section(exporter: Exporter) -> Iterator[str]:
    yield f"\n### {exporter.name}\n"
    yield "| signal | meaning | for each | role | bad | limit |"
    yield "|---|---|---|---|---|---|"
    rows: dict[str, Recipe] = {}
    entities: dict[str, list[str]] = {}
    for recipe in exporter.recipes:
        rows.setdefault(recipe.signal, recipe)
        entity = _entity(recipe)
        if entity not in entities.setdefault(recipe.signal, []):
            entities[recipe.signal].append(entity)
    for signal, recipe in rows.items():
        limit = "" if recipe.limit is None else f"{recipe.limit:g}"
        yield (
            f"| `{signal}` | {recipe.about} | {' or '.join(entities[signal])} | {recipe.role} "
            f"| {_BAD[recipe.direction]} | {limit} |"
        )


def _entity(recipe: Recipe) -> str:
    kept = ["instance"] if recipe.scope is Scope.INSTANCE else []
    return ", ".join([*kept, *(f"`{label}`" for label in (*recipe.service, *recipe.by))]) or "service"


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(START)] + tables() + "\n")
