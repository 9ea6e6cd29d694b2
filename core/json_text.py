"""The one way to write JSON for people and programs: valid also where a figure could not be measured."""

import json
from typing import Any

from pydantic_core import to_jsonable_python


def json_text(value: Any, *, indent: int | None = 2, sort_keys: bool = False) -> str:
    """Any report or message as JSON. NaN and infinity, which JSON does not have, become null.

    Args:
        value: dataclasses, models, mappings, sequences, times, enums, and NumPy numbers in them.

    Examples:
        >>> json_text({"recall": float("nan"), "n": 3}, indent=None)
        '{"recall": null, "n": 3}'
    """
    plain = to_jsonable_python(value, by_alias=True, inf_nan_mode="null")
    return json.dumps(plain, indent=indent, sort_keys=sort_keys, allow_nan=False)
