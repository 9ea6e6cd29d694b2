"""Reads the member states of the release before, which stored only Prophet: as a text in the record of a series."""

from collections.abc import Mapping
from typing import Any

from models.forecast.states import Arrays, text_state


def states_of(record: Mapping[str, Any]) -> dict[str, Arrays]:
    """Member -> its state, from the record of one series in format 5; empty in later formats."""
    text = record.get("prophet")
    return {} if text is None else {"prophet": text_state(text)}
