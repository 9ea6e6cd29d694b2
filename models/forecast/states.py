"""The fitted state of a member as plain arrays: the one form in which a bundle stores it.

A forecaster converts its state with `text_state` (a library that writes JSON itself) or `tree_state` (nested plain
data), and back. Neither form can hold code.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

TEXT = "text"
#: Types that JSON holds without loss, except for floats that are not finite.
_PLAIN = (str, bool, int, type(None))


def text_state(text: str) -> Arrays:
    """A text as the array `text` of its UTF-8 bytes, uint8."""
    return {TEXT: np.frombuffer(text.encode(), dtype=np.uint8)}


def state_text(arrays: Arrays) -> str:
    """The inverse of `text_state`."""
    return arrays[TEXT].tobytes().decode()


def tree_state(tree: Any) -> Arrays:
    """Nested dicts, lists and tuples of numbers, texts and arrays: the arrays by number, and the rest as `text`.

    Args:
        tree: keys are texts; numbers may be Python's or NumPy's. A named tuple becomes a tuple.
    Raises:
        TypeError: something in it is not plain data.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def plain(value: Any) -> Any:
        match value:
            case np.ndarray() if not value.dtype.hasobject:
                name = str(len(arrays))
                arrays[name] = value
                return {"array": name}
            case np.generic():
                return {"scalar": [value.dtype.str, plain(value.item())]}
            case float():
                return {"float": value.hex()}
            case dict() if all(isinstance(key, str) for key in value):
                return {"dict": {key: plain(one) for key, one in value.items()}}
            case tuple():
                return {"tuple": [plain(one) for one in value]}
            case list():
                return [plain(one) for one in value]
        if isinstance(value, _PLAIN):
            return value
        raise TypeError(f"a fitted state holds plain data only, got {type(value).__name__}")

    text = json.dumps(plain(tree))
    return {**text_state(text), **arrays}


def state_tree(arrays: Arrays) -> Any:
    """The inverse of `tree_state`; numbers and arrays are equal to the last bit."""
    restore: Mapping[str, Callable[[Any], Any]] = {
        "array": lambda name: arrays[name],
        "scalar": lambda pair: np.dtype(pair[0]).type(full(pair[1])),
        "float": float.fromhex,
        "dict": lambda found: {key: full(one) for key, one in found.items()},
        "tuple": lambda found: tuple(full(one) for one in found),
    }

    def full(value: Any) -> Any:
        if isinstance(value, list):
            return [full(one) for one in value]
        if isinstance(value, dict):
            [(kind, content)] = value.items()
            return restore[kind](content)
        return value

    return full(json.loads(state_text(arrays)))
