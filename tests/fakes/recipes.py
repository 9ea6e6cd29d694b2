"""Recipes of which only a few fields matter."""

from typing import Any

from core.domain import Direction, Role
from models.metrics.recipe import Recipe, Term


def recipe_of(signal: str, unit: str, **fields: Any) -> Recipe:
    """A signal that is bad above and equals one metric."""
    usual: dict[str, Any] = {
        "about": "",
        "role": Role.SATURATION,
        "direction": Direction.UP_IS_BAD,
        "formula": "a",
        "terms": {"a": Term(metric="a")},
    }
    return Recipe(signal=signal, unit=unit, **{**usual, **fields})
