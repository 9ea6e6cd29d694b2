"""A series as it lies in the files of a bundle."""

from collections.abc import Mapping
from typing import Any

from core.domain import Direction, Role, Series, SeriesKind


def series_of(record: Mapping[str, Any]) -> Series:
    """The series of a record: its fields by name, with texts for the enums. Older files have no direction."""
    direction = record.get("direction")
    return Series(
        **{
            **record,
            "kind": SeriesKind(record["kind"]),
            "role": Role(record["role"]),
            "direction": None if direction is None else Direction(direction),
        }
    )
