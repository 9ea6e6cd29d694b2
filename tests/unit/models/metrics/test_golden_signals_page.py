"""docs/golden-signals.md shows every signal of every exporter, and its example is a file of recipes."""

import re
from dataclasses import fields
from pathlib import Path

from golden_signals_page import PAGE, START, tables

from models.metrics.recipe import Exporter, Recipe, Term
from pipelines.sources.recipe_files import read_exporters


def test_the_tables_of_the_page_are_those_of_the_recipes() -> None:
    """If they are not: `PYTHONPATH=.:tests python tests/golden_signals_page.py`."""
    text = PAGE.read_text()
    assert text[text.index(START) :] == tables() + "\n"


def test_the_page_names_every_field_of_a_recipe_and_of_a_term() -> None:
    introduction = PAGE.read_text().partition(START)[0]
    recipe, _, term = introduction.partition("Fields of a term:")
    assert {field.name for field in fields(Recipe)} == set(re.findall(r"^\| `(\w+)` \|", recipe, re.M))
    assert {field.name for field in fields(Term)} == set(re.findall(r"^\| `(\w+)` \|", term, re.M))


def test_the_example_of_the_page_is_read_from_a_folder_of_the_user(tmp_path: Path) -> None:
    example = re.search(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert example is not None
    (tmp_path / "mail_exporter.yaml").write_text(example[1])
    (found,) = [one for one in read_exporters(tmp_path) if one.name == "mail_exporter"]
    assert isinstance(found, Exporter)
    assert [one.signal for one in found.recipes] == ["mail_storage_used_ratio", "mail_delivery_error_ratio"]
